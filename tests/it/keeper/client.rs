//! The agent's own client, against the real keeper.

use super::{
    gateway::STAND_IN,
    harness::{PATIENCE, PROGRAM, policy, start},
};
use crate::support::proc;
use gameside::{
    internals::keeper::{Keeper, KeeperEvent, KeeperPlace, Mode, Presence, SpawnKeeper, attach, protocol::ExecStatus},
    model::{
        ids::RunNumber,
        keeper::{KeeperFact, KeeperOrder, ListenerAddress, ListenerSpec},
        process::{ExitStatus, KeeperHello, RunState},
    },
};
use std::{
    io::Write as _,
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};
use tokio::{sync::mpsc::Receiver, time::timeout};

/// A client and its events.
struct Agent {
    keeper: Keeper,
    events: Receiver<KeeperEvent>,
}

impl Agent {
    fn at(dir: &Path, program: &str) -> Agent {
        Agent::with(dir, program, &[])
    }

    fn with(dir: &Path, program: &str, args: &[&str]) -> Agent {
        let args = args.iter().map(Into::into).collect();
        let mode = Mode::Spawn(SpawnKeeper { program: program.into(), args });
        let (keeper, events) = attach(KeeperPlace { dir: dir.to_owned(), note: dir.with_extension("note") }, mode);
        Agent { keeper, events }
    }

    async fn wait<T>(&mut self, what: &str, wanted: impl Fn(&KeeperEvent) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("no more events");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("never came: {what}"))
    }

    async fn connected(&mut self) -> KeeperHello {
        self.wait("connected", |event| match event {
            KeeperEvent::Fact(KeeperFact::Connected(hello)) => Some((**hello).clone()),
            _ => None,
        })
        .await
    }

    async fn started(&mut self, run: u64) -> u32 {
        self.wait("started", |event| match event {
            KeeperEvent::Fact(KeeperFact::Started { run: which, pid, .. }) if which.0 == run => Some(*pid as u32),
            _ => None,
        })
        .await
    }

    async fn exited(&mut self) -> ExitStatus {
        self.wait("exited", |event| match event {
            KeeperEvent::Fact(KeeperFact::Exited(report)) => Some(report.status.clone()),
            _ => None,
        })
        .await
    }
}

/// Ends the keeper of a directory, whatever the test came to.
struct End<'a>(&'a Path);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if let Presence::Here(hello) = gameside::internals::keeper::probe(self.0) {
            proc::signal(hello.pid as u32, 9);
            proc::gone(hello.pid as u32, PATIENCE);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn it_spawns_a_keeper_and_the_next_client_adopts_the_game() {
    let dir = tempfile::tempdir().unwrap();
    let _end = End(dir.path());
    let (pid, keeper) = runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        let hello = agent.connected().await;
        agent.keeper.give(KeeperOrder::Record { text: "r".into() });
        agent.keeper.give(KeeperOrder::Fallback { policy: policy(Duration::from_secs(1)) });
        agent.keeper.give(start(1, "exec sleep 600"));
        let pid = agent.started(1).await;
        agent.keeper.settled().await;
        (pid, hello.keeper)
    });
    // The first agent's whole runtime is gone.
    runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        let hello = agent.connected().await;
        assert_eq!((hello.keeper, hello.record.as_deref()), (keeper, Some("r")));
        assert!(matches!(hello.run, RunState::Running { run: RunNumber(1), pid: now, .. } if now as u32 == pid));
        agent.keeper.give(KeeperOrder::Kill { run: RunNumber(1) });
        assert_eq!(agent.exited().await, ExitStatus::Signaled { signal: 9, core: false });
        agent.keeper.give(KeeperOrder::ExitTaken { run: RunNumber(1) });
        agent.keeper.give(KeeperOrder::Shutdown);
        agent.keeper.settled().await;
        assert!(proc::gone(hello.pid as u32, PATIENCE));
    });
}

#[test]
fn a_killed_keeper_is_replaced_and_gets_the_levels_but_no_old_order() {
    let dir = tempfile::tempdir().unwrap();
    let _end = End(dir.path());
    runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        let first = agent.connected().await;
        agent.keeper.give(KeeperOrder::Record { text: "mine".into() });
        agent.keeper.give(start(1, "exec sleep 600"));
        let pid = agent.started(1).await;
        proc::signal(first.pid as u32, 9);
        let second = agent.connected().await;
        assert_ne!(second.keeper, first.keeper);
        assert_eq!(second.run, RunState::Empty);
        assert!(proc::gone(pid, PATIENCE));
        agent.keeper.settled().await;
        match gameside::internals::keeper::probe(dir.path()) {
            Presence::Here(hello) => assert_eq!(hello.record.as_deref(), Some("mine")),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn sockets_stay_while_agents_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let _end = End(dir.path());
    let want = || {
        let tcp = ListenerAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let unix = ListenerAddress::Unix(dir.path().join("api.sock"), 0o660);
        vec![
            ListenerSpec { name: "tcp".into(), address: tcp, or_any: false },
            ListenerSpec { name: "unix".into(), address: unix, or_any: false },
        ]
    };
    let address = |sockets: &[(String, OwnedFd)]| {
        std::net::TcpListener::from(sockets[0].1.try_clone().unwrap()).local_addr().unwrap()
    };
    let first = runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        agent.connected().await;
        let sockets = agent.keeper.listeners(want()).await.unwrap();
        assert_eq!(sockets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["tcp", "unix"]);
        address(&sockets)
    });
    let early = TcpStream::connect(first).expect("a connect while the agent is away waits");
    runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        assert_eq!(agent.connected().await.listeners, ["tcp", "unix"]);
        let sockets = agent.keeper.listeners(want()).await.unwrap();
        assert_eq!(address(&sockets), first);
        let listener = std::net::TcpListener::from(sockets[0].1.try_clone().unwrap());
        listener.set_nonblocking(false).unwrap();
        assert_eq!(listener.accept().unwrap().1, early.local_addr().unwrap());
        let busy = ListenerSpec { name: "busy".into(), address: ListenerAddress::Tcp(first), or_any: false };
        let error = agent.keeper.listeners(vec![busy]).await.unwrap_err().to_string();
        assert!(error.contains("busy"), "{error}");
        let result = agent.keeper.exec(vec!["sh".into(), "-c".into(), "echo hi".into()], PATIENCE).await.unwrap();
        assert_eq!((result.status, result.output.as_str()), (ExecStatus::Exited(0), "hi\n"));
    });
}

#[test]
fn it_is_introduced_to_the_gateway_and_hears_of_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let _end = End(dir.path());
    runtime().block_on(async {
        let mut agent = Agent::with(dir.path(), PROGRAM, &["--gateway", STAND_IN]);
        assert!(agent.connected().await.gateway);
        let (pid, stream) = agent.keeper.gateway().await.unwrap();
        let mut stream = UnixStream::from(stream);
        stream.set_nonblocking(false).unwrap();
        stream.write_all(b"exit 4\n").unwrap();
        let ended = agent.wait("the gateway's end", |event| match event {
            KeeperEvent::Fact(KeeperFact::GatewayEnded { run, status }) => Some((*run, status.clone())),
            _ => None,
        });
        assert_eq!(ended.await, (None, "exit status: 4".to_owned()));
        assert!(proc::gone(pid as u32, PATIENCE));
        let error = agent.keeper.gateway().await.unwrap_err().to_string();
        assert!(error.contains("refused gateway: the gateway ended: exit status: 4"), "{error}");
    });
}

#[test]
fn a_newer_client_ends_the_older_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let _end = End(dir.path());
    runtime().block_on(async {
        let mut old = Agent::at(dir.path(), PROGRAM);
        old.connected().await;
        let mut new = Agent::at(dir.path(), PROGRAM);
        new.connected().await;
        old.wait("superseded", |event| (*event == KeeperEvent::Fact(KeeperFact::Superseded)).then_some(())).await;
        assert!(old.events.recv().await.is_none(), "and that was the last event");
        new.keeper.give(start(1, "exit 3"));
        assert_eq!(new.exited().await, ExitStatus::Exited { code: 3 });
    });
}

#[test]
fn what_a_keeper_said_when_it_could_not_start_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("keeper"), "a file where a directory should be").unwrap();
    runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), PROGRAM);
        let why = agent
            .wait("away", |event| match event {
                KeeperEvent::Fact(KeeperFact::Away { why }) => Some(why.clone()),
                _ => None,
            })
            .await;
        assert!(why.contains("could not start") && why.contains("keeper/"), "{why}");
    });
}

#[test]
fn while_the_lock_is_held_no_second_keeper_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(dir.path().join("keeper.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    runtime().block_on(async {
        let mut agent = Agent::at(dir.path(), "/no/such/keeper");
        let why = agent
            .wait("away", |event| match event {
                KeeperEvent::Fact(KeeperFact::Away { why }) => Some(why.clone()),
                _ => None,
            })
            .await;
        assert!(why.contains("holds"), "{why}");
        assert!(matches!(gameside::internals::keeper::probe(dir.path()), Presence::Silent { .. }));
    });
}
