use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use prost_types::Timestamp;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Streaming};

use crate::client::MAX_MESSAGE;
use crate::v1::signing_service_client::SigningServiceClient;
use crate::v1::watch_session_response::Event;
use crate::v1::{Session, WatchSessionRequest, WatchSessionResponse};
use crate::{Client, Error, backoff};

/// One event of a watched session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// There is a session, or a new one. Its token is a credential.
    Session(Session),
    /// The session could not be renewed, or was ended. It is tried on.
    Failure(Error),
}

/// The sessions of a key as they come. Opened at the first `next`; dropping it ends the RPC.
///
/// When a server ends it because it stops, the connection is old, or the token that opened it has
/// run out, it is opened again, and a session that is known is not given twice. Any other end is
/// given as an error, and then `None`.
pub struct SessionStream {
    client: Client,
    request: WatchSessionRequest,
    state: State,
    failures: u32,
    /// Whether the stream gave something since it was opened.
    gave: bool,
    last: Option<(String, Option<Timestamp>)>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Streaming<WatchSessionResponse>, Error>> + Send>>;

enum State {
    Closed,
    Opening(Opening),
    Open(Box<Streaming<WatchSessionResponse>>),
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl SessionStream {
    pub(crate) fn new(client: Client, request: WatchSessionRequest) -> Self {
        Self { client, request, state: State::Closed, failures: 0, gave: false, last: None }
    }

    /// Returns the next event, an error that ends the stream, or nothing after that. May be
    /// dropped and called again without losing an event.
    pub async fn next(&mut self) -> Option<Result<SessionEvent, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn open(&self) -> Opening {
        let (client, message) = (self.client.clone(), self.request.clone());
        Box::pin(async move {
            let request = client.request(message).await?;
            let mut stub =
                SigningServiceClient::new(client.channel()).max_decoding_message_size(MAX_MESSAGE);
            Ok(stub.watch_session(request).await?.into_inner())
        })
    }

    /// Returns what an answer says, unless it is known.
    fn event(&mut self, answer: WatchSessionResponse) -> Option<SessionEvent> {
        self.failures = 0;
        self.gave = true;
        match answer.event? {
            Event::Session(session) => {
                let seen = Some((session.token.clone(), session.expire_time));
                if self.last == seen {
                    return None;
                }
                self.last = seen;
                Some(SessionEvent::Session(session))
            }
            Event::Failure(status) => Some(SessionEvent::Failure(Error::from(&status))),
        }
    }

    /// Waits to open it again, or returns the error that ends it.
    fn end(&mut self, error: Error) -> Option<Error> {
        let gave = std::mem::take(&mut self.gave);
        // A stream ends with the token that opened it, and there may be a fresh one.
        if error.code() == Code::Unauthenticated && gave && self.client.tokens.is_some() {
            self.state = State::Closed;
            return None;
        }
        if error.code() != Code::Unavailable {
            self.state = State::Ended;
            return Some(error);
        }
        self.failures = self.failures.saturating_add(1);
        let wait = error.retry_after().unwrap_or_else(|| backoff::before_retry(self.failures));
        self.state = State::Waiting(Box::pin(sleep(wait)));
        None
    }
}

impl Stream for SessionStream {
    type Item = Result<SessionEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let ended = match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Closed => {
                    self.state = State::Opening(self.open());
                    continue;
                }
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    self.state = State::Closed;
                    continue;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(stream) => {
                        self.state = State::Open(Box::new(stream));
                        continue;
                    }
                    Err(error) => error,
                },
                State::Open(stream) => match ready!(Pin::new(stream).poll_next(cx)) {
                    Some(Ok(answer)) => match self.event(answer) {
                        Some(event) => return Poll::Ready(Some(Ok(event))),
                        None => continue,
                    },
                    Some(Err(status)) => status.into(),
                    None => {
                        Error::new(Code::Unknown, "the server ended the stream, and said not why")
                    }
                },
            };
            if let Some(error) = self.end(ended) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream").field("key", &self.request.key).finish_non_exhaustive()
    }
}
