use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use privyseal::v1::signing_service_client::SigningServiceClient;
use privyseal::{Client, v1};
use prost::Message;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::calls::{decoded, make, request_of};
use crate::failure::Failure;
use crate::{Outcome, number, text};

pub async fn load(client: Client, command: &Value) -> Outcome {
    let count = number(command, "count").unwrap_or(1);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..number(command, "concurrency").unwrap_or(1) {
        let (client, next) = (client.clone(), next.clone());
        let (rpc, request) = (text(command, "rpc").to_owned(), request_of(command)?);
        let with_ids = command["request_ids"] == true;
        workers.spawn(async move {
            let (mut succeeded, mut failed) = (0_u64, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return (succeeded, failed);
                }
                let request =
                    if with_ids { with_id(&rpc, &request, number) } else { Ok(request.clone()) };
                let outcome = match request {
                    Ok(request) => make(&client, &rpc, &request).await,
                    Err(failure) => Err(failure),
                };
                match outcome {
                    Ok(_) => succeeded += 1,
                    Err(failure) => {
                        failed.push(failure.shown()["code"].as_str().unwrap_or("?").to_owned());
                    }
                }
            }
        });
    }
    let (mut succeeded, mut failed) = (0, BTreeMap::<String, u64>::new());
    for (good, bad) in workers.join_all().await {
        succeeded += good;
        for code in bad {
            *failed.entry(code).or_default() += 1;
        }
    }
    Ok(json!({"succeeded": succeeded, "failed": failed}))
}

fn with_id(rpc: &str, request: &[u8], number: u64) -> Result<Vec<u8>, Failure> {
    if rpc != "Sign" {
        return Err(Failure::usage("only Sign is loaded with request ids".to_owned()));
    }
    let mut message: v1::SignRequest = decoded(request)?;
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let (process, low) = (std::process::id(), since_epoch as u64 & 0xffff_ffff_ffff);
    message.request_id = format!("{process:08x}-{:04x}-4000-8000-{low:012x}", number & 0xffff);
    Ok(message.encode_to_vec())
}

pub async fn overhead(client: Client, command: &Value) -> Outcome {
    let request: v1::SignRequest = decoded(&request_of(command)?)?;
    let mut stub =
        SigningServiceClient::new(client.channel()).max_decoding_message_size(16 * 1024 * 1024);
    let (mut by_client, mut by_stub) = (Vec::new(), Vec::new());
    for _ in 0..number(command, "count").unwrap_or(1) {
        let started = Instant::now();
        client.sign(request.clone()).await?;
        by_client.push(started.elapsed());
        let started = Instant::now();
        let failed = |status| Failure::from(privyseal::Error::from(status));
        stub.sign(request.clone()).await.map_err(failed)?;
        by_stub.push(started.elapsed());
    }
    Ok(json!({"client_us": median_us(by_client), "stub_us": median_us(by_stub)}))
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
