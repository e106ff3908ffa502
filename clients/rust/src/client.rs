use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Request, Response, Status};

use crate::builder::ClientBuilder;
use crate::channel::Channel;
use crate::failure::is_unprocessed;
use crate::token::Tokens;
use crate::{Door, Error, backoff};

/// The greatest message that is taken.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What counts as no deadline, where a timeout is beyond what a clock can tell.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where a server's clock and ours may disagree about who gave up first.
const SAME_TIME: Duration = Duration::from_millis(20);

/// A client of Privyseal. Clones share its connections and cost next to nothing.
///
/// Dropping a call's future cancels the call, at the server too.
#[derive(Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) timeout: Duration,
    pub(crate) max_attempts: u32,
}

impl Client {
    /// Begins with the settings.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// The same client with another timeout: `client.with_timeout(Duration::from_secs(1)).sign(…)`.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same client with another greatest number of attempts; 0 counts as 1.
    #[must_use]
    pub fn with_max_attempts(&self, max_attempts: u32) -> Self {
        Self { max_attempts: max_attempts.max(1), ..self.clone() }
    }

    /// A door: signs HTTP requests as they come, with the key `keys/{key}`.
    pub fn door(&self, key: impl Into<String>) -> Door {
        Door::new(self.clone(), key.into())
    }

    /// The connections, for calls by generated stubs.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Makes a call: one attempt or, where it may be repeated, several.
    pub(crate) async fn call<Q, R, F>(
        &self,
        request: Q,
        is_repeatable: bool,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let now = Instant::now();
        let deadline = now.checked_add(self.timeout).unwrap_or(now + FAR);
        let attempts = async {
            let mut attempt = 1;
            loop {
                let error = match self.attempt(&request, deadline, &send).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                };
                if !is_repeatable || !error.is_retryable() || attempt >= self.max_attempts {
                    return Err(error);
                }
                let wait = error.retry_after().unwrap_or_else(|| backoff::before_retry(attempt));
                if wait >= deadline.saturating_duration_since(Instant::now()) {
                    return Err(error);
                }
                sleep(wait).await;
                attempt += 1;
            }
        };
        let outcome = timeout_at(deadline, attempts).await;
        outcome.unwrap_or_else(|_| Err(Error::deadline_exceeded(self.timeout)))
    }

    async fn attempt<Q, R, F>(
        &self,
        message: &Q,
        deadline: Instant,
        send: &impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut was_repeated = false;
        loop {
            let mut request = self.request(message.clone()).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            request.set_timeout(left);
            match send(self.channel.clone(), request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if is_unprocessed(&status) && !was_repeated => was_repeated = true,
                Err(status) if is_late(&status, deadline) => {
                    return Err(Error::deadline_exceeded(self.timeout));
                }
                Err(status) => return Err(status.into()),
            }
        }
    }

    /// Returns a request with what proves the caller.
    pub(crate) async fn request<Q>(&self, message: Q) -> Result<Request<Q>, Error> {
        let mut request = Request::new(message);
        if let Some(tokens) = &self.tokens {
            request.metadata_mut().insert("authorization", tokens.bearer().await?);
        }
        Ok(request)
    }
}

/// Whether a server gave up for the deadline that it was told.
fn is_late(status: &Status, deadline: Instant) -> bool {
    status.code() == Code::Cancelled && Instant::now() + SAME_TIME >= deadline
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let balancer = &self.channel.0;
        let targets: Vec<String> = balancer.targets().iter().map(ToString::to_string).collect();
        f.debug_struct("Client")
            .field("targets", &targets)
            .field("tls", &balancer.connector().tls().map(|tls| tls.files()))
            .field("token", &self.tokens.as_ref().map(|tokens| tokens.source()))
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish()
    }
}
