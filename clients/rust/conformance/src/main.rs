//! Does what the lines on standard input tell it, and answers each with a line.

#![forbid(unsafe_code)]

mod calls;
mod clients;
mod failure;
mod load;
mod send;
mod watch;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use clients::Clients;
use failure::Failure;
use watch::Streams;

/// What came of a command.
type Outcome = Result<Value, Failure>;

/// What commands share.
#[derive(Default)]
struct Desk {
    clients: Clients,
    streams: Streams,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let desk = Arc::new(Desk::default());
    let (answers, mut written) = mpsc::unbounded_channel::<Value>();
    let writing = tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(answer) = written.recv().await {
            output.write_all(format!("{answer}\n").as_bytes()).await?;
            output.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let mut running = JoinSet::new();
    while let Some(line) = commands.next_line().await? {
        let (desk, answers) = (desk.clone(), answers.clone());
        running.spawn(async move {
            let command: Value = serde_json::from_str(&line).unwrap_or_default();
            let mut answer = match desk.run(&command).await {
                Ok(answer) => answer,
                Err(failure) => json!({"error": failure.shown()}),
            };
            answer["id"] = command["id"].clone();
            // Nobody reads any more at the end.
            let _ = answers.send(answer);
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
    drop(answers);
    writing.await?
}

impl Desk {
    async fn run(&self, command: &Value) -> Outcome {
        match command["do"].as_str().unwrap_or_default() {
            "describe" => Ok(json!({
                "language": "rust",
                "version": "0.1.0",
                "doors": ["reqwest", "http"],
            })),
            "connect" => self.clients.connect(command),
            "close" => self.clients.close(command),
            "call" => calls::call(&self.clients.of(command)?, command).await,
            "watch" => self.streams.watch(self.clients.of(command)?, command),
            "next" => self.streams.next(command).await,
            "unwatch" => self.streams.unwatch(command),
            "send" => send::send(self.clients.of(command)?, command).await,
            "load" => load::load(self.clients.of(command)?, command).await,
            "overhead" => load::overhead(self.clients.of(command)?, command).await,
            other => Err(Failure::usage(format!("there is no command {other:?}"))),
        }
    }
}

/// Returns a text of a command, empty where it has none.
fn text<'a>(command: &'a Value, name: &str) -> &'a str {
    command[name].as_str().unwrap_or_default()
}

/// Returns a number of a command, where it has one.
fn number(command: &Value, name: &str) -> Option<u64> {
    command[name].as_u64()
}
