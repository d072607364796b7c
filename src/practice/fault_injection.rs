//! Faults that are injected on purpose: crashes, hangs, leaks, floods of output, processes that get
//! away.

use super::{
    options::{CrashHow, Daemon, Faults},
    server::log,
};
use rustix::process::{Signal, getpid, kill_process, setsid};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Set in the environment of the process that a daemonised game goes on as.
const DAEMON_MARK: &str = "GAMESIDE_PRACTICE_DAEMON";
/// Memory is taken this often.
const LEAK_EVERY: Duration = Duration::from_millis(100);
/// The leak is logged each time it has grown by so many bytes.
const LEAK_TOLD: usize = 64 << 20;
/// Lines are printed this often.
const SPAM_EVERY: Duration = Duration::from_millis(20);
/// A helper process ends by itself after this time, so that none is left on a machine for ever.
const HELPER_LIFE: Duration = Duration::from_secs(3600);

/// Faults with their times.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub faults: Faults,
    /// Since when the times count.
    base: Duration,
    leaked: Vec<Vec<u8>>,
    last_leak: Duration,
    last_spam: Duration,
    printed: u64,
}

impl Schedule {
    pub(crate) fn new(faults: Faults, now: Duration) -> Self {
        Schedule { faults, base: now, leaked: Vec::new(), last_leak: now, last_spam: now, printed: 0 }
    }

    /// The times count from now on.
    pub(crate) fn rearm(&mut self, faults: Faults, now: Duration) {
        (self.faults, self.base, self.last_leak, self.last_spam) = (faults, now, now, now);
    }

    /// When something is to be done next.
    pub(crate) fn next(&self) -> Option<Duration> {
        let after = |span: Option<Duration>| span.map(|span| self.base + span);
        [
            after(self.faults.hang_after),
            after(self.faults.crash_after),
            self.faults.leak.map(|_| self.last_leak + LEAK_EVERY),
            self.faults.spam.map(|_| self.last_spam + SPAM_EVERY),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Bytes leaked so far.
    fn hoard(&self) -> usize {
        self.leaked.iter().map(Vec::len).sum()
    }

    /// Does what is due. May not return.
    pub(crate) fn act(&mut self, now: Duration) {
        let due = |span: Option<Duration>| span.is_some_and(|span| self.base + span <= now);
        if due(self.faults.crash_after) {
            crash(self.faults.crash_how);
        }
        if due(self.faults.hang_after) {
            log(format_args!("hanging from here on"));
            loop {
                std::thread::park();
            }
        }
        if let Some(rate) = self.faults.leak.filter(|_| self.last_leak + LEAK_EVERY <= now) {
            let bytes = rate as f64 * now.saturating_sub(self.last_leak).as_secs_f64();
            // Written to, or it would take no memory.
            let before = self.hoard();
            self.leaked.push(vec![1; bytes as usize]);
            if self.hoard() / LEAK_TOLD > before / LEAK_TOLD {
                log(format_args!("leaked {} MiB", self.hoard() >> 20));
            }
            self.last_leak = now;
        }
        if let Some(rate) = self.faults.spam.filter(|_| self.last_spam + SPAM_EVERY <= now) {
            let lines = (f64::from(rate) * now.saturating_sub(self.last_spam).as_secs_f64()) as u64;
            for _ in 0..lines {
                self.printed += 1;
                log(format_args!("spam {} {}", self.printed, "x".repeat(64)));
            }
            if lines > 0 {
                self.last_spam = now;
            }
        }
    }
}

fn crash(how: CrashHow) -> ! {
    log(format_args!("crashing: {how:?}"));
    match how {
        CrashHow::Panic => panic!("told to panic"),
        CrashHow::Abort => std::process::abort(),
        CrashHow::Exit(code) => std::process::exit(code),
        CrashHow::Segv => loop {
            // Rust's own handler takes the first one for a stack overflow, and steps aside.
            let _ = kill_process(getpid(), Signal::SEGV);
        },
    }
}

/// What is to be done before anything else: going to the background, helpers. True: this process ends here, with 0.
pub(crate) fn at_start(faults: &Faults) -> std::io::Result<bool> {
    let program = std::env::current_exe()?;
    if faults.daemonise == Daemon::Yes && std::env::var_os(DAEMON_MARK).is_none() {
        let child = Command::new(&program).args(std::env::args_os().skip(1)).env(DAEMON_MARK, "1").spawn()?;
        log(format_args!("gone to the background as process {}", child.id()));
        return Ok(true);
    }
    if std::env::var_os(DAEMON_MARK).is_some() {
        let _ = setsid();
    }
    for _ in 0..faults.fork_helpers {
        let mut helper = Command::new(&program);
        let helper = helper.args(["practice", "helper"]).stdin(Stdio::null()).spawn()?;
        log(format_args!("helper process {}", helper.id()));
    }
    Ok(false)
}

/// Body of a helper process: a session of its own, and sleep.
pub(crate) fn helper() {
    let _ = setsid();
    std::thread::sleep(HELPER_LIFE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_their_time() {
        let ms = Duration::from_millis;
        let mut faults = Faults::default();
        assert_eq!(Schedule::new(faults.clone(), ms(0)).next(), None);
        faults.apply_misc("hang-after=5s leak=1MiB");
        let mut schedule = Schedule::new(faults, ms(1000));
        assert_eq!(schedule.next(), Some(ms(1100)));
        schedule.act(ms(1100));
        schedule.act(ms(2100));
        let leaked = schedule.hoard();
        assert!((1_150_000..1_160_000).contains(&leaked), "{leaked}");
        schedule.faults.leak = None;
        assert_eq!(schedule.next(), Some(ms(6000)));
    }
}
