//! Bearer tokens, asked anew for each RPC.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{ConfigurationError, Error};

const LOOK_AGAIN: Duration = Duration::from_secs(1);

type BoxError = Box<dyn StdError + Send + Sync>;
type TokenFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type Bearer = MetadataValue<Ascii>;

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    File(PathBuf),
    Function(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl TokenSource {
    pub(crate) fn function<F, Fut, E>(give: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::Function(Arc::new(move || {
            let token = give();
            Box::pin(async move { token.await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}

/// Gives the header for each RPC.
pub(crate) struct Tokens {
    source: TokenSource,
    file: Arc<Mutex<Option<Read>>>,
}

struct Read {
    bearer: Bearer,
    at: Instant,
}

impl Tokens {
    pub(crate) fn new(source: TokenSource) -> Result<Self, ConfigurationError> {
        let mut file = None;
        if let TokenSource::File(path) = &source {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("{} can't be read: {error}", path.display());
                ConfigurationError::new("token_file", message)
            })?;
            let bearer = bearer(&text).ok_or_else(|| {
                let message =
                    format!("{} holds no token: one line of visible ASCII", path.display());
                ConfigurationError::new("token_file", message)
            })?;
            file = Some(Read { bearer, at: Instant::now() });
        }
        Ok(Self { source, file: Arc::new(Mutex::new(file)) })
    }

    pub(crate) fn source(&self) -> &TokenSource {
        &self.source
    }

    /// Returns the header's value.
    pub(crate) async fn bearer(&self) -> Result<Bearer, Error> {
        match &self.source {
            TokenSource::File(path) => self.read(path).await,
            TokenSource::Function(give) => {
                let token = give().await.map_err(|source| {
                    Error::unauthenticated("the function that gives tokens failed; see the source")
                        .with_source(source)
                })?;
                let wrong = "the function that gives tokens gave none: a token is visible ASCII";
                bearer(&token).ok_or_else(|| Error::unauthenticated(wrong))
            }
        }
    }

    async fn read(&self, path: &Path) -> Result<Bearer, Error> {
        if self.is_due() {
            let path = path.to_owned();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
            // What can't be read, or is no token, leaves the last one in force.
            if let Ok(Ok(text)) = read.await
                && let Some(bearer) = bearer(&text)
                && let Some(file) = &mut *self.lock()
            {
                file.bearer = bearer;
            }
        }
        let file = self.lock();
        let missing = || Error::unauthenticated("the token file was never read");
        file.as_ref().map(|file| file.bearer.clone()).ok_or_else(missing)
    }

    /// Returns whether this call shall look at the file; only one does at a time.
    fn is_due(&self) -> bool {
        match &mut *self.lock() {
            Some(file) if file.at.elapsed() >= LOOK_AGAIN => {
                file.at = Instant::now();
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Read>> {
        self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn bearer(token: &str) -> Option<Bearer> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = Bearer::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
