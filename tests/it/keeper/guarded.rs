//! A keeper of root's with an agent of another user: the agent gets nothing of root's through it.

use super::harness::{Keeper, PROGRAM, Wire};
use crate::support::{component, proc};
use gameside::internals::keeper::protocol::{Event, ListenerAddress, ListenerSpec, Order};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    thread::set_thread_res_uid,
};
use std::{
    fs,
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

pub const AGENT: u32 = 65533;
const GUARDED: [&str; 6] = ["--user", "65534", "--agent-uid", "65533", "--executable-root", "/bin"];
/// For a keeper that shouldn't start at all.
const ELSE_SOON_OVER: [&str; 2] = ["--idle", "1s"];

/// What the agent's user says; the kernel knows a thread's user.
pub fn as_agent<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let agent = rustix::fs::Uid::from_raw(AGENT);
            set_thread_res_uid(agent, agent, agent).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}

/// A guarded keeper whose state directory is its agent's, who lets everybody write there.
pub fn guarded(more: &[&str]) -> Keeper {
    let mut keeper = Keeper::start_with(&[&GUARDED, more].concat());
    keeper.signal(15);
    keeper.ended();
    fs::set_permissions(keeper.path(), fs::Permissions::from_mode(0o777)).unwrap();
    chown(keeper.path(), Some(AGENT), None).unwrap();
    keeper.again();
    keeper
}

fn unix(path: &Path) -> Order {
    let address = ListenerAddress::Unix(path.to_owned(), 0o4777);
    Order::Listeners { want: vec![ListenerSpec { name: "x".into(), address, or_any: false }] }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Swaps links for what the keeper works on, until it is over.
fn swap(state: &Path, victims: &Path, over: &AtomicBool) {
    let (game, link) = (state.join("game"), state.join("link"));
    symlink(victims, &link).unwrap();
    let (socket, other) = (state.join("s.sock"), state.join("other"));
    while !over.load(Ordering::Relaxed) {
        renameat_with(CWD, &game, CWD, &link, RenameFlags::EXCHANGE).unwrap();
        symlink(victims.join("api.sock"), &other).unwrap();
        fs::rename(&other, &socket).unwrap();
        let _ = fs::remove_file(&socket);
    }
    if game.is_symlink() {
        renameat_with(CWD, &game, CWD, &link, RenameFlags::EXCHANGE).unwrap();
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_swapped_directory_or_socket_costs_no_file_of_roots_its_life_or_its_mode() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let keeper = guarded(&[]);
    let victims = tempfile::tempdir().unwrap();
    let precious = victims.path().join("api.sock");
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o644)).unwrap();
    let over = AtomicBool::new(false);
    let (state, socket) = (keeper.path(), keeper.socket());
    std::thread::scope(|scope| {
        // Also when something below fails.
        let racing = Over(&over);
        let swapping = scope.spawn(|| as_agent(|| swap(state, victims.path(), &over)));
        let mut made = 0;
        let mut wire = as_agent(|| Wire::at(&socket));
        wire.hello(None);
        for path in ["game/api.sock", "game/b.sock", "s.sock"].map(|path| state.join(path)).iter().cycle().take(6000) {
            match wire.ask(unix(path)) {
                Event::Listeners { .. } => made += 1,
                Event::Refused { .. } => {}
                other => panic!("{other:?}"),
            }
            assert!(precious.is_file(), "removed through a link");
            assert_eq!(mode(&precious), 0o644, "its mode was set through a link");
        }
        drop(racing);
        swapping.join().unwrap();
        assert!(made > 100, "the race was never lost: {made}");
        for path in ["game/api.sock", "s.sock"].map(|path| state.join(path)) {
            assert!(matches!(wire.ask(unix(&path)), Event::Listeners { .. }));
            assert_eq!(mode(&path), 0o666, "neither executable nor with another's rights");
        }
        let below: PathBuf = state.join("game/below");
        assert!(wire.refused(unix(&below.join("x.sock"))).contains("No such file"));
        assert!(wire.refused(unix(&victims.path().join("x.sock"))).contains("doesn't lie directly"));
    });
    let found: Vec<_> = fs::read_dir(victims.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(found, ["api.sock"], "nothing was made through a link");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_link_of_the_agents_is_no_way_to_the_state_directory() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let (home, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    chown(home.path(), Some(AGENT), None).unwrap();
    symlink(victim.path(), home.path().join("match")).unwrap();
    let mut command = Command::new(PROGRAM);
    let ended =
        command.arg("--dir").arg(home.path().join("match")).args(GUARDED).args(ELSE_SOON_OVER).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("opening the state directory"), "{ended:?}");
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

#[test]
fn a_guarded_game_is_never_root() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for root in [["--user", "root"], ["--user", "0"], ["--group", "root"]] {
        let mut command = Command::new(PROGRAM);
        let ended =
            command.arg("--dir").arg(dir.path()).args(GUARDED).args(root).args(ELSE_SOON_OVER).output().unwrap();
        assert_eq!(ended.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&ended.stderr).contains("can't run as root"), "{ended:?}");
    }
}

#[test]
fn lines_before_hello_cost_the_keeper_little_and_keep_nobody_waiting() {
    let keeper = Keeper::start();
    let mut flood = UnixStream::connect(keeper.socket()).unwrap();
    let before = peak(&keeper);
    // It reads no answer, so the keeper hangs up at some point.
    let _ = flood.write_all(&vec![b'\n'; 300_000]);
    let (mut wire, _) = keeper.control();
    wire.done(Order::Record { text: "served".into() });
    let grown = peak(&keeper) - before;
    assert!(grown < 24 << 10, "{grown} KiB for 300 KB");
}

/// The most memory that the keeper has had, in KiB.
fn peak(keeper: &Keeper) -> u64 {
    let text = proc::status(keeper.pid(), "VmHWM").unwrap();
    text.trim_end_matches("kB").trim().parse().unwrap()
}
