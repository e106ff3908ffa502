/**
 * The messages of the contract, as the RPCs take and return them.
 *
 * @module
 */

export type {
  BatchSignRequest,
  BatchSignResponse,
  BatchSignResult,
  CreateKeyRequest,
  CreateKeyResponse,
  GeneratedKey,
  Header,
  HttpRequest,
  LoginRequest,
  LoginResponse,
  LogoutRequest,
  LogoutResponse,
  Parameter,
  PersonalMessage,
  ReportAnswerRequest,
  ReportAnswerResponse,
  Session,
  SignRequest,
  SignResponse,
  Signature,
  SignedHttpRequest,
  SigningServiceServer,
  TypedData,
  VenueIssuedKey,
  WatchSessionRequest,
  WatchSessionResponse,
} from "./gen/privyseal/v1/signing_service.js";
export { AnswerMeaning } from "./gen/privyseal/v1/signing_service.js";

export type {
  DeleteKeyRequest,
  DeleteKeyResponse,
  DisableKeyRequest,
  DisableKeyResponse,
  EnableKeyRequest,
  EnableKeyResponse,
  GetKeyRequest,
  GetKeyResponse,
  GetSealingKeyRequest,
  GetSealingKeyResponse,
  ImportKeyRequest,
  ImportKeyResponse,
  KeyServiceServer,
  ListKeysRequest,
  ListKeysResponse,
  ResyncNonceRequest,
  ResyncNonceResponse,
  RotateKeyRequest,
  RotateKeyResponse,
} from "./gen/privyseal/v1/key_service.js";

export type { Key } from "./gen/privyseal/v1/key.js";
export { KeyState } from "./gen/privyseal/v1/key.js";

export type {
  Environment,
  Field,
  GetVenueRequest,
  GetVenueResponse,
  KeyKind,
  ListVenuesRequest,
  ListVenuesResponse,
  NoncePolicy,
  Operation,
  Venue,
  VenueServiceServer,
} from "./gen/privyseal/v1/venue_service.js";

export type {
  CreateHoldRequest,
  CreateHoldResponse,
  DeleteHoldRequest,
  DeleteHoldResponse,
  Hold,
  HoldServiceServer,
  ListHoldsRequest,
  ListHoldsResponse,
} from "./gen/privyseal/v1/hold_service.js";

export { ErrorReason } from "./gen/privyseal/v1/error_reason.js";
export type { Status } from "./gen/google/rpc/status.js";
export type { Timestamp } from "./gen/google/protobuf/timestamp.js";
