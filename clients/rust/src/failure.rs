//! What a broken connection or stream means, in gRPC's terms.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use h2::Reason;
use tonic::Status;

/// Marks a status of an RPC that no server has looked at.
#[derive(Debug)]
struct NotProcessed;

impl fmt::Display for NotProcessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no server has looked at it")
    }
}

impl StdError for NotProcessed {}

/// Whether the RPC can be sent again without a thought.
pub(crate) fn is_unprocessed(status: &Status) -> bool {
    status.source().is_some_and(|source| source.is::<NotProcessed>())
}

pub(crate) fn status_of(error: &hyper::Error) -> Status {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(each) = cause {
        if let Some(error) = each.downcast_ref::<h2::Error>() {
            return status_of_h2(error);
        }
        cause = each.source();
    }
    broken(error)
}

fn status_of_h2(error: &h2::Error) -> Status {
    if !error.is_remote() {
        return broken(error);
    }
    match error.reason() {
        Some(Reason::REFUSED_STREAM) => not_processed(),
        // Those that the server took up go on after it said goodbye, so this is not one.
        Some(_) if error.is_go_away() => not_processed(),
        Some(Reason::CANCEL) => Status::cancelled("the server cancelled the RPC"),
        Some(Reason::ENHANCE_YOUR_CALM) => {
            Status::resource_exhausted("the server asks for fewer RPCs")
        }
        Some(Reason::INADEQUATE_SECURITY) => {
            Status::permission_denied("the server asks for a more secure connection")
        }
        _ => Status::internal(format!("the server reset the RPC: {error}")),
    }
}

fn not_processed() -> Status {
    let mut status = Status::unavailable("the server took no more RPCs on this connection");
    status.set_source(Arc::new(NotProcessed));
    status
}

fn broken(error: &dyn fmt::Display) -> Status {
    Status::unavailable(format!(
        "the connection broke during the RPC: {error}; the server may have acted on it"
    ))
}
