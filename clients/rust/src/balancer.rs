//! Which connection the next RPC takes: all addresses in turn, past those that are down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tonic::Status;

use crate::connector::{Connection, Connector};
use crate::keeper;
use crate::target::Target;

/// One place that a target's name leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// The target's place among the targets.
    pub target: usize,
    pub endpoint: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How an address, or a name, is doing.
pub(crate) enum Condition<T> {
    /// Not known yet; an RPC waits for it.
    Pending,
    Good(T),
    /// The last attempt failed, with what to tell. It stays so until an attempt succeeds.
    Bad(String),
}

/// What the client, its tasks and all RPCs share.
pub(crate) struct Shared {
    pub targets: Vec<Target>,
    pub connector: Connector,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    names: Vec<Condition<()>>,
    addresses: Vec<(Address, Condition<Connection>)>,
    next: usize,
    tasks: Option<AbortHandle>,
}

/// Ends the tasks when the last client that uses them is dropped.
pub(crate) struct Balancer(Arc<Shared>);

impl Balancer {
    pub(crate) fn new(targets: Vec<Target>, connector: Connector) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { targets, connector, state, changed }))
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.0.targets
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// Returns a connection for one RPC, as soon as there is one. Fails when all addresses are
    /// down.
    pub(crate) async fn connection(&self) -> Result<Connection, Status> {
        self.start();
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = self.0.lock().pick() {
                return found;
            }
            changed.await;
        }
    }

    /// Starts the tasks that keep connections, unless they run. They end with their runtime.
    fn start(&self) {
        let mut state = self.0.lock();
        if state.tasks.as_ref().is_none_or(AbortHandle::is_finished) {
            state.names = self.0.targets.iter().map(|_| Condition::Pending).collect();
            state.addresses.clear();
            state.tasks = Some(tokio::spawn(keeper::keep_all(self.0.clone())).abort_handle());
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(tasks) = self.0.lock().tasks.take() {
            tasks.abort();
        }
    }
}

impl Shared {
    /// Notes what a look-up of a target's name came to.
    pub(crate) fn name_is(&self, target: usize, condition: Condition<()>) {
        self.lock().names[target] = condition;
        self.changed.notify_waiters();
    }

    /// Adds an address that is about to be connected to.
    pub(crate) fn add(&self, address: Address) {
        self.lock().addresses.push((address, Condition::Pending));
    }

    /// Forgets an address; RPCs under way go on.
    pub(crate) fn remove(&self, address: &Address) {
        self.lock().addresses.retain(|(each, _)| each != address);
        self.changed.notify_waiters();
    }

    /// Notes how an address is doing.
    pub(crate) fn address_is(&self, address: &Address, condition: Condition<Connection>) {
        let mut state = self.lock();
        if let Some(entry) = state.addresses.iter_mut().find(|(each, _)| each == address) {
            entry.1 = condition;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    /// Returns the next connection, or the failure when nothing is worth waiting for.
    fn pick(&mut self) -> Option<Result<Connection, Status>> {
        let count = self.addresses.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if let Condition::Good(connection) = &self.addresses[index].1
                && connection.is_open()
            {
                self.next = index + 1;
                return Some(Ok(connection.clone()));
            }
        }
        let mut failure = None;
        for (_, condition) in &self.addresses {
            match condition {
                Condition::Bad(why) => failure = Some(why),
                // One that is good has just ended, and is about to be pending.
                Condition::Pending | Condition::Good(_) => return None,
            }
        }
        for condition in &self.names {
            match condition {
                Condition::Pending => return None,
                Condition::Bad(why) => failure = failure.or(Some(why)),
                Condition::Good(()) => {}
            }
        }
        failure.map(|why| Err(Status::unavailable(why)))
    }
}
