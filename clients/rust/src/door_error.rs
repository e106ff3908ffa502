use std::error::Error as StdError;
use std::fmt;

use crate::Error;

/// Why a door did not sign a request, or did not send it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DoorError {
    /// Privyseal refused it, or can't be reached.
    Failed(Error),
    /// The door itself refuses it.
    Refused(Refused),
}

/// What a door refuses by itself, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub(crate) String);

impl Refused {
    pub(crate) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.0)
    }
}

impl StdError for Refused {}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl StdError for DoorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Refused(_) => None,
        }
    }
}

impl From<Error> for DoorError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refused> for DoorError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
