//! The few system calls that have no safe wrapper. The keeper has one thread; that is what makes
//! them safe.

#![allow(unsafe_code, reason = "fork, exec, signals and credentials have no safe form; each call says why it is sound")]

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
};

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forked {
    Child,
    Parent(i32),
}

pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child finds every lock free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// The kernel's `struct clone_args`, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks a child that is born in the cgroup of this directory. To be moved there costs it some 20 ms: the kernel waits until every
/// processor has noticed. An error where the kernel can't or mustn't.
pub(super) fn fork_into(cgroup: BorrowedFd<'_>) -> io::Result<Forked> {
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the process has one thread, so the child finds every lock free; without CLONE_VM and
    // a stack it goes on with a copy of everything, as after fork. `args` is valid during the call,
    // and as large as it says.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid as i32)),
    }
}

/// Ends at once: no destructors, no buffers. The way out of a forked child.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Replaces the program. Returns only if that failed.
pub(super) fn exec(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with null and outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Blocks these signals and returns a descriptor from which they are read.
pub(super) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used; the descriptor is new and
    // ours.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The next signal, if one is pending.
pub(super) fn next_signal(fd: &OwnedFd) -> Option<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(fd, &mut info).ok()?;
    let number = info.get(..4).filter(|_| read == info.len())?;
    Some(i32::from_ne_bytes([number[0], number[1], number[2], number[3]]))
}

pub(super) fn ignore(signal: i32) {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// For a child before exec: every signal does what it does by default, and none is blocked.
pub(super) fn reset_signals() {
    // SAFETY: a zeroed sigaction of any layout is SIG_DFL and runs no code of ours; the set is
    // initialised before it is used.
    unsafe {
        // By the system call itself: libc keeps 32 and 33 to itself, and passes on what it was
        // started with.
        let default = [0u64; 8];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8);
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(super) fn close_on_exec_from(first: u32) {
    // SAFETY: closes nothing; it only sets a flag.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Kernels before 5.11.
    for fd in first..4096 {
        // SAFETY: as above; a number that isn't open is an error without effect.
        unsafe { libc::fcntl(fd as i32, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Closes what whoever started us left open. Only at the start, when we have opened nothing.
pub(super) fn close_from(first: u32) {
    // SAFETY: called before this process has opened anything itself.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Makes `fd` the descriptor `number`, which exec leaves open: 0, 1 or 2; or any in a child that is about to execute a program.
pub(super) fn put_at(fd: &OwnedFd, number: i32) -> io::Result<()> {
    // SAFETY: replaces 0, 1 or 2, which no Rust value owns, or another number in a process in which
    // no Rust value is used any more that may own it. Where it has that number already, only a flag
    // is cleared.
    let done = unsafe {
        if fd.as_raw_fd() == number {
            libc::fcntl(number, libc::F_SETFD, 0)
        } else {
            libc::dup2(fd.as_raw_fd(), number)
        }
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes on another user for good, with its groups.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: plain calls with numbers and a slice that outlives them.
    unsafe {
        if libc::setgroups(groups.len(), groups.as_ptr()) != 0
            || libc::setresgid(gid, gid, gid) != 0
            || libc::setresuid(uid, uid, uid) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Does this with another effective group, so that what it makes belongs to that group.
pub(super) fn in_group<T>(group: u32, act: impl FnOnce() -> T) -> io::Result<T> {
    // SAFETY: plain calls with numbers; this process has one thread.
    let own = unsafe { libc::getegid() };
    // SAFETY: as above.
    if unsafe { libc::setegid(group) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let done = act();
    // SAFETY: as above. Back to the real group is always allowed.
    if unsafe { libc::setegid(own) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(done)
}

/// A child that ended.
#[derive(Debug)]
pub(super) struct Reaped {
    pub(super) pid: i32,
    pub(super) status: ExitStatus,
    /// The most memory it had, in bytes.
    pub(super) peak: u64,
}

/// The next ended child, if there is one. Nobody else in this process waits for children.
pub(super) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: zeroed is a valid rusage, and the kernel fills both.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    (pid > 0).then(|| Reaped { pid, status: ExitStatus::from_raw(status), peak })
}

/// Sends a signal to a process group of ours.
pub(super) fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    match unsafe { libc::kill(-group, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to exactly the process behind a pidfd.
pub(super) fn signal_process(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: no siginfo, no flags.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises our own hard limit, or sets both in a child. `resource` as in `RLIMIT_*`.
pub(super) fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the struct outlives the call.
    match unsafe { libc::setrlimit(resource as _, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Our own limit: soft, hard.
pub(super) fn limit(resource: u32) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct.
    unsafe { libc::getrlimit(resource as _, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

/// Room in a pipe, in bytes; what the kernel refuses stays as it was.
pub(super) fn widen_pipe(fd: &OwnedFd, bytes: i32) {
    // SAFETY: no memory involved.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Units of `/proc/PID/stat`: clock ticks a second, bytes a page.
pub(super) fn units() -> (u64, u64) {
    // SAFETY: no memory involved.
    let ask = |name| u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0);
    (ask(libc::_SC_CLK_TCK).max(1), ask(libc::_SC_PAGESIZE).max(1))
}

/// In a child that never returns to the code that owns them: closes everything from 3 on but these.
pub(super) fn close_all_but(keep: &[i32]) {
    let highest = keep.iter().copied().max().unwrap_or(2).max(2);
    for fd in (3..highest).filter(|fd| !keep.contains(fd)) {
        // SAFETY: no Rust value of this process will use it again.
        unsafe { libc::close(fd) };
    }
    close_from(highest as u32 + 1);
}

/// Replaces the program, keeping the environment, found as a shell finds it. Returns only if that failed.
pub(super) fn exec_in_path(argv: &[CString]) -> io::Error {
    let Some(program) = argv.first() else { return io::Error::from_raw_os_error(libc::EINVAL) };
    let pointers: Vec<*const libc::c_char> =
        argv.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
    // SAFETY: the array ends with null and outlives the call.
    unsafe { libc::execvp(program.as_ptr(), pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// The user at the other end of a unix socket. A peer in another pid namespace has pid 0 here, so only the uid is looked at.
pub(super) fn peer_uid(socket: &OwnedFd) -> io::Result<u32> {
    let mut who = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: both pointers are to locals of the size that is told.
    match unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut who).cast(), &raw mut size) } {
        0 => Ok(who.uid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether we have any child at all, ended or not. The kernel's own answer, which no process can dodge by forking.
pub(super) fn has_children() -> bool {
    // SAFETY: zeroed is a valid siginfo, and nothing is reaped.
    let asked = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    };
    asked == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ECHILD)
}
