use std::fmt::Debug;

use privyseal::{ConfigurationError, DoorError, Error, Refused};
use serde_json::{Value, json};

/// A failure as the harness reads it.
pub struct Failure(Value);

impl Failure {
    pub fn usage(message: String) -> Self {
        Self::plain("USAGE", &message, &message)
    }

    pub fn plain(code: &str, message: &str, shown: &impl Debug) -> Self {
        Self(json!({
            "code": code,
            "reason": "",
            "message": message,
            "metadata": {},
            "field": "",
            "retry_after_ms": null,
            "is_retryable": false,
            "text": format!("{shown:?} {shown:#?} {message}"),
        }))
    }

    /// Something took as long.
    pub fn after(mut self, elapsed_ms: u128) -> Value {
        self.0 = json!({"error": self.0, "elapsed_ms": elapsed_ms as u64});
        self.0
    }

    pub fn shown(self) -> Value {
        self.0
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self(json!({
            "code": error.code_name(),
            "reason": error.reason(),
            "message": error.message(),
            "metadata": error.metadata(),
            "field": error.field(),
            "retry_after_ms": error.retry_after().map(|wait| wait.as_millis() as u64),
            "is_retryable": error.is_retryable(),
            "text": format!("{error:?} {error:#?} {error}"),
        }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Self::plain("CONFIGURATION", &error.to_string(), &error)
    }
}

impl From<&Refused> for Failure {
    fn from(refused: &Refused) -> Self {
        Self::plain("REFUSED", &refused.to_string(), refused)
    }
}

impl From<DoorError> for Failure {
    fn from(error: DoorError) -> Self {
        match &error {
            DoorError::Failed(error) => error.into(),
            DoorError::Refused(refused) => refused.into(),
            other => Self::plain("UNKNOWN", &other.to_string(), other),
        }
    }
}

impl From<reqwest_middleware::Error> for Failure {
    fn from(error: reqwest_middleware::Error) -> Self {
        if let reqwest_middleware::Error::Middleware(cause) = &error {
            if let Some(cause) = cause.downcast_ref::<Error>() {
                let mut failure = Self::from(cause);
                failure.0["text"] = format!("{error:?} {error:#?} {error}").into();
                return failure;
            }
            if let Some(cause) = cause.downcast_ref::<Refused>() {
                return cause.into();
            }
        }
        Self::plain("HTTP", &error.to_string(), &error)
    }
}
