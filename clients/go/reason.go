package privyseal

// Reason says why a call was refused: a value of the proto's enum ErrorReason without its
// prefix, which tells what each means and what to do. One that this client does not know yet is
// kept as it came. It is an error for [errors.Is]:
//
//	if errors.Is(err, privyseal.ReasonHeld) {
type Reason string

// Error returns the reason as it is on the wire.
func (r Reason) Error() string { return string(r) }

// The reasons of this version of the contract.
const (
	ReasonFieldInvalid            Reason = "FIELD_INVALID"
	ReasonBodyInvalid             Reason = "BODY_INVALID"
	ReasonParameterReserved       Reason = "PARAMETER_RESERVED"
	ReasonIntentUnsupported       Reason = "INTENT_UNSUPPORTED"
	ReasonOptionUnknown           Reason = "OPTION_UNKNOWN"
	ReasonRequestIDReused         Reason = "REQUEST_ID_REUSED"
	ReasonMessageUnparseable      Reason = "MESSAGE_UNPARSEABLE"
	ReasonCallerUnproved          Reason = "CALLER_UNPROVED"
	ReasonPolicyDenied            Reason = "POLICY_DENIED"
	ReasonKeyUnknown              Reason = "KEY_UNKNOWN"
	ReasonVenueUnknown            Reason = "VENUE_UNKNOWN"
	ReasonKeyExists               Reason = "KEY_EXISTS"
	ReasonKeyDisabled             Reason = "KEY_DISABLED"
	ReasonKeyCreating             Reason = "KEY_CREATING"
	ReasonCredentialMalformed     Reason = "CREDENTIAL_MALFORMED"
	ReasonLoginUnsupported        Reason = "LOGIN_UNSUPPORTED"
	ReasonCreateKeyUnsupported    Reason = "CREATE_KEY_UNSUPPORTED"
	ReasonAlgorithmUnsupported    Reason = "ALGORITHM_UNSUPPORTED"
	ReasonSessionMissing          Reason = "SESSION_MISSING"
	ReasonLoginBackingOff         Reason = "LOGIN_BACKING_OFF"
	ReasonNonceAhead              Reason = "NONCE_AHEAD"
	ReasonSecretStoreForbidden    Reason = "SECRET_STORE_FORBIDDEN"
	ReasonVenueRefused            Reason = "VENUE_REFUSED"
	ReasonVenueCredentialRejected Reason = "VENUE_CREDENTIAL_REJECTED"
	ReasonVenueAccountLocked      Reason = "VENUE_ACCOUNT_LOCKED"
	ReasonVenueTwoFactorPending   Reason = "VENUE_TWO_FACTOR_PENDING"
	ReasonVenueDescriptionTaken   Reason = "VENUE_DESCRIPTION_TAKEN"
	ReasonVenueAccountMissing     Reason = "VENUE_ACCOUNT_MISSING"
	ReasonVenueNonceRejected      Reason = "VENUE_NONCE_REJECTED"
	ReasonVenueRateLimited        Reason = "VENUE_RATE_LIMITED"
	ReasonOverloaded              Reason = "OVERLOADED"
	ReasonSecretStoreSealed       Reason = "SECRET_STORE_SEALED"
	ReasonSecretStoreUnreachable  Reason = "SECRET_STORE_UNREACHABLE"
	ReasonStateUnavailable        Reason = "STATE_UNAVAILABLE"
	ReasonAuditUnavailable        Reason = "AUDIT_UNAVAILABLE"
	ReasonVenueUnreachable        Reason = "VENUE_UNREACHABLE"
	ReasonVenueOutcomeUnknown     Reason = "VENUE_OUTCOME_UNKNOWN"
	ReasonRPCNotImplemented       Reason = "RPC_NOT_IMPLEMENTED"
	ReasonInternal                Reason = "INTERNAL"
	ReasonKeyEscrowed             Reason = "KEY_ESCROWED"
	ReasonEscrowUnavailable       Reason = "ESCROW_UNAVAILABLE"
	ReasonKeyVersionExpired       Reason = "KEY_VERSION_EXPIRED"
	ReasonKeyChanged              Reason = "KEY_CHANGED"
	ReasonRotateKeyUnsupported    Reason = "ROTATE_KEY_UNSUPPORTED"
	ReasonHeld                    Reason = "HELD"
	ReasonHoldUnknown             Reason = "HOLD_UNKNOWN"
	ReasonClockSkewed             Reason = "CLOCK_SKEWED"
	ReasonNonceUnsupported        Reason = "NONCE_UNSUPPORTED"
	ReasonServerStopping          Reason = "SERVER_STOPPING"
	ReasonLimitExceeded           Reason = "LIMIT_EXCEEDED"
)
