use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use privyseal::{Client, v1};
use prost::Message;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::{Outcome, number, text};

pub async fn call(client: &Client, command: &Value) -> Outcome {
    let mut client = client.clone();
    if let Some(timeout_ms) = number(command, "timeout_ms") {
        client = client.with_timeout(Duration::from_millis(timeout_ms));
    }
    let request = request_of(command)?;
    let started = Instant::now();
    let cancel = async {
        match number(command, "cancel_after_ms") {
            Some(ms) => sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = make(&client, text(command, "rpc"), &request) => outcome,
        () = cancel => Err(Failure::plain("CANCELLED", "the future was dropped", &"")),
    };
    let elapsed_ms = started.elapsed().as_millis();
    Ok(match outcome {
        Ok(response) => {
            json!({"response": STANDARD.encode(response), "elapsed_ms": elapsed_ms as u64})
        }
        Err(failure) => failure.after(elapsed_ms),
    })
}

pub fn request_of(command: &Value) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(text(command, "request"))
        .map_err(|_| Failure::usage("the request is no base64".to_owned()))
}

pub fn decoded<M: Message + Default>(request: &[u8]) -> Result<M, Failure> {
    M::decode(request)
        .map_err(|error| Failure::usage(format!("the request is no message: {error}")))
}

macro_rules! by_name {
    ($client:ident, $rpc:ident, $request:ident: $($name:literal $method:ident $message:ident,)*) => {
        match $rpc {
            $($name => Ok($client
                .$method(decoded::<v1::$message>($request)?)
                .await?
                .encode_to_vec()),)*
            other => Err(Failure::usage(format!("there is no unary RPC {other:?}"))),
        }
    };
}

pub async fn make(client: &Client, rpc: &str, request: &[u8]) -> Result<Vec<u8>, Failure> {
    by_name! { client, rpc, request:
        "Sign" sign SignRequest,
        "BatchSign" batch_sign BatchSignRequest,
        "Login" login LoginRequest,
        "Logout" logout LogoutRequest,
        "ReportAnswer" report_answer ReportAnswerRequest,
        "CreateKey" create_key CreateKeyRequest,
        "GetKey" get_key GetKeyRequest,
        "ListKeys" list_keys ListKeysRequest,
        "ImportKey" import_key ImportKeyRequest,
        "GetSealingKey" get_sealing_key GetSealingKeyRequest,
        "RotateKey" rotate_key RotateKeyRequest,
        "DisableKey" disable_key DisableKeyRequest,
        "EnableKey" enable_key EnableKeyRequest,
        "ResyncNonce" resync_nonce ResyncNonceRequest,
        "DeleteKey" delete_key DeleteKeyRequest,
        "GetVenue" get_venue GetVenueRequest,
        "ListVenues" list_venues ListVenuesRequest,
        "CreateHold" create_hold CreateHoldRequest,
        "ListHolds" list_holds ListHoldsRequest,
        "DeleteHold" delete_hold DeleteHoldRequest,
    }
}
