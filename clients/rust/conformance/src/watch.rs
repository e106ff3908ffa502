use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use privyseal::{Client, Error, SessionEvent};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::timeout;

use crate::calls::{decoded, request_of};
use crate::failure::Failure;
use crate::{Outcome, number, text};

type Events = mpsc::UnboundedReceiver<Result<SessionEvent, Error>>;

/// The watched sessions by their names.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<String, Arc<AsyncMutex<Events>>>>);

impl Streams {
    pub fn watch(&self, client: Client, command: &Value) -> Outcome {
        let mut stream = client.watch_session(decoded(&request_of(command)?)?);
        let (events, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = stream.next() => {
                        let Some(event) = event else { return };
                        if events.send(event).is_err() {
                            return;
                        }
                    }
                    () = events.closed() => return,
                }
            }
        });
        self.lock().insert(text(command, "stream").to_owned(), Arc::new(AsyncMutex::new(seen)));
        Ok(json!({}))
    }

    pub async fn next(&self, command: &Value) -> Outcome {
        let name = text(command, "stream");
        let found = self.lock().get(name).cloned();
        let seen = found.ok_or_else(|| Failure::usage(format!("there is no stream {name:?}")))?;
        let wait = Duration::from_millis(number(command, "timeout_ms").unwrap_or(1_000));
        let mut seen = seen.lock().await;
        Ok(match timeout(wait, seen.recv()).await {
            Ok(Some(Ok(SessionEvent::Session(session)))) => {
                json!({"session": STANDARD.encode(session.encode_to_vec())})
            }
            Ok(Some(Ok(SessionEvent::Failure(error)))) => {
                json!({"failure": Failure::from(error).shown()})
            }
            Ok(Some(Ok(_))) => return Err(Failure::usage("an event that is new".to_owned())),
            Ok(Some(Err(error))) => json!({"end": Failure::from(error).shown()}),
            Ok(None) | Err(_) => json!({"nothing": true}),
        })
    }

    pub fn unwatch(&self, command: &Value) -> Outcome {
        self.lock().remove(text(command, "stream"));
        Ok(json!({}))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<AsyncMutex<Events>>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
