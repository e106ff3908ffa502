use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use privyseal::{Client, Tls};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{Outcome, number, text};

/// The clients by their names.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<String, Client>>);

impl Clients {
    pub fn connect(&self, command: &Value) -> Outcome {
        let mut builder = Client::builder();
        for target in command["targets"].as_array().into_iter().flatten() {
            builder = builder.target(target.as_str().unwrap_or_default());
        }
        let tls = &command["tls"];
        if tls.is_object() {
            let mut files = match (&tls["certificate"], &tls["private_key"]) {
                (Value::String(certificate), Value::String(key)) => {
                    Tls::files(text(tls, "ca"), certificate, key)
                }
                _ => Tls::ca_file(text(tls, "ca")),
            };
            if let Value::String(name) = &tls["server_name"] {
                files = files.server_name(name);
            }
            builder = builder.tls(files);
        }
        if command["plaintext"] == true {
            builder = builder.plaintext();
        }
        if let Value::String(path) = &command["token_file"] {
            builder = builder.token_file(path);
        }
        if let Some(timeout_ms) = number(command, "timeout_ms") {
            builder = builder.timeout(Duration::from_millis(timeout_ms));
        }
        if let Some(attempts) = number(command, "max_attempts") {
            builder = builder.max_attempts(attempts as u32);
        }
        let client = builder.build()?;
        let shown = format!("{client:?} {:?}", client.channel());
        self.lock().insert(text(command, "client").to_owned(), client);
        Ok(json!({"text": shown}))
    }

    pub fn close(&self, command: &Value) -> Outcome {
        self.lock().remove(text(command, "client"));
        Ok(json!({}))
    }

    pub fn of(&self, command: &Value) -> Result<Client, Failure> {
        let name = text(command, "client");
        let missing = || Failure::usage(format!("there is no client {name:?}"));
        self.lock().get(name).cloned().ok_or_else(missing)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
