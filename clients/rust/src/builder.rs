use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::balancer::Balancer;
use crate::channel::Channel;
use crate::connector::Connector;
use crate::target::Target;
use crate::tls::{LiveTls, Tls};
use crate::token::{TokenSource, Tokens};
use crate::{Client, ConfigurationError};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ATTEMPTS: u32 = 4;

/// The settings of a [`Client`].
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    targets: Vec<String>,
    tls: Option<Tls>,
    plaintext: bool,
    token: Option<TokenSource>,
    timeout: Duration,
    max_attempts: u32,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            targets: Vec::new(),
            tls: None,
            plaintext: false,
            token: None,
            timeout: TIMEOUT,
            max_attempts: MAX_ATTEMPTS,
        }
    }

    /// Adds a server: `host:port`, or `unix:/absolute/path`, which must be the only one. All
    /// addresses of all targets get RPCs in turn, but for those that are down.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// The files that connections are made with. They are read again for each new connection;
    /// such that can't be right leave the last good ones in force.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects without TLS, to loopback addresses and Unix sockets only.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Proves the caller by the bearer token in a file, which is read again, at most once a
    /// second. What can't be read leaves the last token in force.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(TokenSource::File(path.into()));
        self
    }

    /// Proves the caller by a bearer token that a function gives, asked for each attempt of an
    /// RPC. When it fails, so does the RPC, with `UNAUTHENTICATED` and its error as the source.
    pub fn token<F, Fut, E>(mut self, give: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.token = Some(TokenSource::function(give));
        self
    }

    /// How long a call may take, with all its attempts and the waits between them: 10 s unless
    /// this says otherwise. A stream has no such bound.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call with a request id is attempted at most: 4 unless this says otherwise; 1
    /// turns retries off.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Makes the client. It reads the files and connects nowhere; the first call does, and needs
    /// a Tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// When a setting can't be right.
    pub fn build(self) -> Result<Client, ConfigurationError> {
        let wrong = |setting, message: &str| Err(ConfigurationError::new(setting, message));
        let targets =
            self.targets.iter().map(|text| Target::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if targets.is_empty() {
            return wrong("target", "there is none; give `host:port` or `unix:/absolute/path`");
        }
        let is_unix = |target: &Target| matches!(target, Target::Unix(_));
        if targets.len() > 1 && targets.iter().any(is_unix) {
            return wrong("target", "a Unix socket must be the only target");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "it is 0; a call needs some time, 10 s unless you say so");
        }
        if self.max_attempts == 0 {
            return wrong("max_attempts", "it is 0; 1 turns retries off");
        }
        let tls = match (self.tls, self.plaintext) {
            (Some(_), true) => return wrong("plaintext", "it can't go with TLS; choose one"),
            (None, false) => {
                return wrong("tls", "it is missing; plaintext to this host must be asked for");
            }
            (None, true) => {
                if let Some(far) = targets.iter().find(|target| !target.is_local()) {
                    let message = format!("{far} is not on this host; use TLS");
                    return Err(ConfigurationError::new("plaintext", message));
                }
                None
            }
            (Some(files), false) => Some(LiveTls::new(files)?),
        };
        if targets.iter().any(is_unix) && tls.as_ref().is_some_and(|tls| !tls.has_server_name()) {
            return wrong("tls.server_name", "TLS over a Unix socket needs one");
        }
        if self.token.is_some() && tls.is_none() {
            return wrong("token", "a token goes over TLS only");
        }
        let balancer = Balancer::new(targets, Connector::new(tls));
        let tokens = self.token.map(Tokens::new).transpose()?;
        Ok(Client {
            channel: Channel(Arc::new(balancer)),
            tokens: tokens.map(Arc::new),
            timeout: self.timeout,
            max_attempts: self.max_attempts,
        })
    }
}
