//! Keeps a connection to each address, and looks names up again when connections end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::backoff;
use crate::balancer::{Address, Condition, Endpoint, Shared};
use crate::target::Target;

/// How long a look-up, and a connection up to the server's first word, may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Look-ups of a name are at least this far apart.
const BETWEEN_LOOKUPS: Duration = Duration::from_millis(500);

/// Runs until it is aborted.
pub(crate) async fn keep_all(shared: Arc<Shared>) {
    let mut targets = JoinSet::new();
    for target in 0..shared.targets.len() {
        targets.spawn(keep_target(shared.clone(), target));
    }
    targets.join_all().await;
}

async fn keep_target(shared: Arc<Shared>, target: usize) {
    let ended = Arc::new(Notify::new());
    let mut keepers = JoinSet::new();
    let mut kept: HashMap<Address, AbortHandle> = HashMap::new();
    let mut failures = 0;
    loop {
        // What was given up is not kept in mind.
        while keepers.try_join_next().is_some() {}
        match look_up(&shared, target).await {
            Ok(addresses) => {
                failures = 0;
                for (address, keeper) in &kept {
                    if !addresses.contains(address) {
                        keeper.abort();
                        shared.remove(address);
                    }
                }
                kept.retain(|address, _| addresses.contains(address));
                for address in addresses {
                    kept.entry(address).or_insert_with_key(|address| {
                        shared.add(address.clone());
                        keepers.spawn(keep(shared.clone(), address.clone(), ended.clone()))
                    });
                }
                shared.name_is(target, Condition::Good(()));
                sleep(BETWEEN_LOOKUPS).await;
                ended.notified().await;
            }
            Err(why) => {
                failures += 1;
                shared.name_is(target, Condition::Bad(why));
                sleep(backoff::before_reconnect(failures)).await;
            }
        }
    }
}

/// Connects, waits for the end, and connects again.
async fn keep(shared: Arc<Shared>, address: Address, ended: Arc<Notify>) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let target = &shared.targets[address.target];
        let connected = timeout(LONGEST, shared.connector.connect(target, &address.endpoint));
        match connected.await.unwrap_or_else(|_| Err(slow(target))) {
            Ok((connection, end)) => {
                failures = 0;
                shared.address_is(&address, Condition::Good(connection));
                let _ = end.await;
                shared.address_is(&address, Condition::Pending);
            }
            Err(why) => {
                failures += 1;
                shared.address_is(&address, Condition::Bad(why));
            }
        }
        ended.notify_one();
        sleep_until(started + backoff::before_reconnect(failures.max(1))).await;
    }
}

async fn look_up(shared: &Shared, target: usize) -> Result<Vec<Address>, String> {
    let (host, port) = match &shared.targets[target] {
        Target::Unix(path) => {
            return Ok(vec![Address { target, endpoint: Endpoint::Unix(path.clone()) }]);
        }
        Target::Host { host, port, .. } => (host.as_str(), *port),
    };
    let found = match timeout(LONGEST, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            return Err(format!("{host} can't be looked up: {error}; check the target"));
        }
        Err(_) => return Err(format!("{host} can't be looked up: DNS does not answer")),
    };
    let mut addresses: Vec<Address> = Vec::new();
    for each in found {
        let address = Address { target, endpoint: Endpoint::Tcp(each) };
        // `localhost` may lead elsewhere, where plaintext must not go.
        if (shared.connector.is_encrypted() || each.ip().is_loopback())
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(format!("{host} has no address that may be connected to; check the target")),
        false => Ok(addresses),
    }
}

fn slow(target: &Target) -> String {
    format!("no connection to {target} within {LONGEST:?}; may this host reach it?")
}
