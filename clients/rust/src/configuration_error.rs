use std::error::Error;
use std::fmt;

/// A setting of the client that can't be right, told when the client is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationError {
    setting: &'static str,
    message: String,
}

impl ConfigurationError {
    pub(crate) fn new(setting: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { setting, message }
    }

    /// The setting's name, such as `target`.
    pub fn setting(&self) -> &str {
        self.setting
    }

    /// What is wrong with it, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl Error for ConfigurationError {}
