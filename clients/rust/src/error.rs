use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use crate::detail::{BadRequest, ErrorInfo, RetryInfo};
use crate::google::rpc;
use crate::v1::ErrorReason;

const PREFIX: &str = "ERROR_REASON_";
const ENDED: &str = "the server ended the call, as one that stops does; it may have acted on it";

/// A call that was refused, or could not be made. It never holds a secret.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    field: String,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason: String::new(),
            message: message.into(),
            metadata: BTreeMap::new(),
            field: String::new(),
            retry_after: None,
            source: None,
        }))
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    pub(crate) fn deadline_exceeded(timeout: Duration) -> Self {
        let message = format!("no answer within {timeout:?}, all attempts together");
        Self::new(Code::DeadlineExceeded, message)
    }

    pub(crate) fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The [`ErrorReason`] without its prefix, such as `KEY_UNKNOWN`; one that this client does
    /// not know, as the server wrote it; empty where the server gave none.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Whether the server gave this reason.
    pub fn is(&self, reason: ErrorReason) -> bool {
        reason.as_str_name().strip_prefix(PREFIX) == Some(self.reason())
    }

    /// What happened and what to do, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What belongs to the reason, such as the key's name; [`ErrorReason`] says what there is.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// The field of the request that was wrong; empty where that is not the matter.
    pub fn field(&self) -> &str {
        &self.0.field
    }

    /// How long the server asks to wait before the call is tried again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may work a little later. Make it again with the same request id,
    /// else it may be done twice.
    pub fn is_retryable(&self) -> bool {
        matches!(self.code(), Code::Unavailable | Code::Aborted)
            && !self.is(ErrorReason::VenueOutcomeUnknown)
    }

    /// The code's name as gRPC writes it, such as `NOT_FOUND`.
    pub fn code_name(&self) -> &'static str {
        code_name(self.code())
    }
}

impl From<&rpc::Status> for Error {
    fn from(status: &rpc::Status) -> Self {
        let mut error = Self::new(Code::from_i32(status.code), status.message.clone());
        for detail in &status.details {
            match detail.type_url.rsplit('/').next() {
                Some("google.rpc.ErrorInfo") => {
                    if let Ok(info) = ErrorInfo::decode(&*detail.value) {
                        let reason = info.reason.strip_prefix(PREFIX).unwrap_or(&info.reason);
                        error.0.reason = reason.to_owned();
                        error.0.metadata = info.metadata;
                    }
                }
                Some("google.rpc.RetryInfo") => {
                    if let Ok(RetryInfo { retry_delay: Some(delay) }) =
                        RetryInfo::decode(&*detail.value)
                    {
                        // A delay below zero is none.
                        error.0.retry_after = Some(delay.try_into().unwrap_or_default());
                    }
                }
                Some("google.rpc.BadRequest") => {
                    if let Ok(bad) = BadRequest::decode(&*detail.value) {
                        let first = bad.field_violations.into_iter().next();
                        error.0.field = first.map(|violation| violation.field).unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        error
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Who cancels drops the future, and hears nothing: this was the server, as one that stops.
        if status.code() == Code::Cancelled {
            return Self::new(Code::Unavailable, ENDED);
        }
        if !status.details().is_empty()
            && let Ok(told) = rpc::Status::decode(status.details())
        {
            let told = rpc::Status { code: status.code().into(), ..told };
            return Self::from(&told);
        }
        Self::new(status.code(), status.message())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code_name())?;
        if !self.reason().is_empty() {
            write!(f, " ({})", self.reason())?;
        }
        write!(f, ": {}", self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.code_name())
            .field("reason", &self.reason())
            .field("message", &self.message())
            .field("metadata", self.metadata())
            .field("field", &self.field())
            .field("retry_after", &self.retry_after())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
