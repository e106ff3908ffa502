//! The RPCs of the four services as methods of the client.

use tonic::Request;

use crate::channel::Channel;
use crate::client::MAX_MESSAGE;
use crate::v1::hold_service_client::HoldServiceClient;
use crate::v1::key_service_client::KeyServiceClient;
use crate::v1::signing_service_client::SigningServiceClient;
use crate::v1::venue_service_client::VenueServiceClient;
use crate::v1::{self, WatchSessionRequest};
use crate::{Client, Error, SessionStream};

macro_rules! rpcs {
    ($($(#[$doc:meta])* $stub:ident.$name:ident($request:ident) -> $response:ident $(, once per $id:ident)?;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// When it is refused, or can't be made in time.
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                    let is_repeatable = false $(|| !request.$id.is_empty())?;
                    let send = |channel: Channel, request: Request<v1::$request>| async move {
                        let mut stub = $stub::new(channel).max_decoding_message_size(MAX_MESSAGE);
                        stub.$name(request).await
                    };
                    self.call(request, is_repeatable, send).await
                }
            )*
        }
    };
}

rpcs! {
    /// Signs a request to a venue, or a structured message.
    SigningServiceClient.sign(SignRequest) -> SignResponse, once per request_id;
    /// Signs up to 1000 requests in order; each has a status of its own, see
    /// [`into_result`](v1::BatchSignResult::into_result).
    SigningServiceClient.batch_sign(BatchSignRequest) -> BatchSignResponse;
    /// Returns the key's session at its venue, and opens one where there is none.
    SigningServiceClient.login(LoginRequest) -> LoginResponse;
    /// Ends the key's session.
    SigningServiceClient.logout(LogoutRequest) -> LogoutResponse;
    /// Tells Privyseal what a venue said to a signed request.
    SigningServiceClient.report_answer(ReportAnswerRequest) -> ReportAnswerResponse;
    /// Makes a key that goes straight into the secret store.
    SigningServiceClient.create_key(CreateKeyRequest) -> CreateKeyResponse, once per request_id;
    /// Returns a key's public facts.
    KeyServiceClient.get_key(GetKeyRequest) -> GetKeyResponse;
    /// Returns a page of the keys that the caller may see.
    KeyServiceClient.list_keys(ListKeysRequest) -> ListKeysResponse;
    /// Takes in a key that exists already.
    KeyServiceClient.import_key(ImportKeyRequest) -> ImportKeyResponse, once per request_id;
    /// Returns the public key to seal imported secrets with.
    KeyServiceClient.get_sealing_key(GetSealingKeyRequest) -> GetSealingKeyResponse;
    /// Replaces a key's secret.
    KeyServiceClient.rotate_key(RotateKeyRequest) -> RotateKeyResponse, once per request_id;
    /// Stops a key.
    KeyServiceClient.disable_key(DisableKeyRequest) -> DisableKeyResponse;
    /// Lets a disabled key sign again.
    KeyServiceClient.enable_key(EnableKeyRequest) -> EnableKeyResponse;
    /// Moves a key's nonces.
    KeyServiceClient.resync_nonce(ResyncNonceRequest) -> ResyncNonceResponse;
    /// Deletes a key.
    KeyServiceClient.delete_key(DeleteKeyRequest) -> DeleteKeyResponse;
    /// Returns all that the server knows of a venue.
    VenueServiceClient.get_venue(GetVenueRequest) -> GetVenueResponse;
    /// Returns a page of the venues.
    VenueServiceClient.list_venues(ListVenuesRequest) -> ListVenuesResponse;
    /// Stops a key, a venue, a caller or all.
    HoldServiceClient.create_hold(CreateHoldRequest) -> CreateHoldResponse, once per request_id;
    /// Returns a page of the holds in force.
    HoldServiceClient.list_holds(ListHoldsRequest) -> ListHoldsResponse;
    /// Ends a hold.
    HoldServiceClient.delete_hold(DeleteHoldRequest) -> DeleteHoldResponse;
}

impl Client {
    /// Gives the key's session, each new one before the old one dies, and each failure to renew.
    pub fn watch_session(&self, request: WatchSessionRequest) -> SessionStream {
        SessionStream::new(self.clone(), request)
    }
}

impl v1::BatchSignResult {
    /// Returns what came of this one request.
    ///
    /// # Errors
    ///
    /// When it was refused.
    pub fn into_result(self) -> Result<v1::SignResponse, Error> {
        match (self.response, self.status) {
            (Some(response), _) => Ok(response),
            (None, Some(status)) => Err(Error::from(&status)),
            (None, None) => Err(Error::new(tonic::Code::Internal, "the server said nothing of it")),
        }
    }
}
