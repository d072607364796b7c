//! `[hooks] on_exit`: a program of the user's, told how the game ended. Bounded in time; its
//! failure harms nothing.

use crate::model::{
    process::{ExitReport, ExitStatus},
    section::section,
    time::Timestamp,
    units::Span,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, path::PathBuf, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt as _, process::Command, task::JoinSet};

/// Hooks that may run at a time; a crash-looping game doesn't pile them up.
const AT_ONCE: usize = 4;

/// `[hooks]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// A program and its arguments, run by the agent after the game has ended. It gets the exit report and the paths of log and core as JSON on stdin. Empty: none.
    #[cfg_attr(test, schemars(extend("examples" = [["/usr/local/bin/upload-crash"]])))]
    pub on_exit: Vec<String>,
    /// A hook that takes longer is killed.
    pub timeout: Span,
}

impl Default for HooksConfig {
    fn default() -> Self {
        HooksConfig { on_exit: Vec::new(), timeout: Span::from_secs(60) }
    }
}

section!(HooksConfig {
    needs_restart: on_exit, timeout;
});

/// What is run, and what is under way.
#[derive(Debug)]
pub struct Hooks {
    name: String,
    on_exit: Vec<String>,
    timeout: Duration,
    log: PathBuf,
    running: JoinSet<()>,
}

/// What the program reads from its standard input.
#[derive(Debug, Serialize)]
struct HookInput<'a> {
    name: &'a str,
    reason: &'a str,
    report: &'a ExitReport,
    log: &'a str,
    core: Option<&'a str>,
    at: Timestamp,
}

impl Hooks {
    /// `log` = the file with the game's output.
    pub fn new(name: String, config: &HooksConfig, log: PathBuf) -> Self {
        let HooksConfig { on_exit, timeout } = config;
        Hooks { name, on_exit: on_exit.clone(), timeout: timeout.get(), log, running: JoinSet::new() }
    }

    /// Starts the program, if there is one. Must be called within a tokio runtime.
    pub fn exited(&mut self, report: &ExitReport, reason: &str, at: Timestamp) {
        while self.running.try_join_next().is_some() {}
        let Some((program, args)) = self.on_exit.split_first() else { return };
        if self.running.len() >= AT_ONCE {
            tracing::warn!(program, "{AT_ONCE} on_exit hooks still run; this exit is not told to one");
            return;
        }
        let log = self.log.display().to_string();
        let core = report.core_path.as_deref();
        let input = HookInput { name: &self.name, reason, report, log: &log, core, at };
        let text = serde_json::to_vec(&input).unwrap_or_default();
        let mut command = Command::new(program);
        command.args(args).envs(environment(&input)).stdin(Stdio::piped()).kill_on_drop(true);
        let (program, timeout) = (program.clone(), self.timeout);
        self.running.spawn(async move {
            match tokio::time::timeout(timeout, carry_out(command, &text)).await {
                Ok(Ok(status)) if status.success() => tracing::debug!(program, "the on_exit hook is done"),
                Ok(Ok(status)) => tracing::warn!(program, %status, "the on_exit hook failed"),
                Ok(Err(error)) => tracing::warn!(program, %error, "the on_exit hook could not be run"),
                Err(_) => tracing::warn!(program, ?timeout, "the on_exit hook took too long and was killed"),
            }
        });
    }

    /// Waits for what is under way; each is bounded by its own time.
    pub async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

async fn carry_out(mut command: Command, text: &[u8]) -> io::Result<std::process::ExitStatus> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that doesn't read is fine.
        let _ = stdin.write_all(text).await;
    }
    child.wait().await
}

fn environment(input: &HookInput<'_>) -> BTreeMap<&'static str, String> {
    let mut env = BTreeMap::from([
        ("GAMESIDE_NAME", input.name.to_owned()),
        ("GAMESIDE_EXIT_REASON", input.reason.to_owned()),
        ("GAMESIDE_EXIT_RUN", input.report.run.to_string()),
        ("GAMESIDE_LOG", input.log.to_owned()),
    ]);
    let (how, detail) = match &input.report.status {
        ExitStatus::Exited { code } => ("exited", Some(("GAMESIDE_EXIT_CODE", code.to_string()))),
        ExitStatus::Signaled { signal, .. } => ("signaled", Some(("GAMESIDE_EXIT_SIGNAL", signal.to_string()))),
        ExitStatus::OomKilled => ("oom-killed", None),
        ExitStatus::SpawnFailed { error } => ("spawn-failed", Some(("GAMESIDE_EXIT_ERROR", error.clone()))),
        ExitStatus::Lost => ("lost", None),
    };
    env.insert("GAMESIDE_EXIT_HOW", how.to_owned());
    env.extend(detail);
    env.extend(input.core.map(|core| ("GAMESIDE_CORE", core.to_owned())));
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::RunNumber;

    fn report() -> ExitReport {
        let (status, at) = (ExitStatus::Signaled { signal: 11, core: true }, Timestamp::EPOCH);
        ExitReport { core_path: Some("/c".into()), ..ExitReport::new(RunNumber(3), status, at, at) }
    }

    #[tokio::test]
    async fn the_hook_gets_the_report_on_stdin_and_in_its_environment() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!(
            "cat > {0}; echo \" $GAMESIDE_EXIT_HOW $GAMESIDE_EXIT_SIGNAL $GAMESIDE_CORE\" >> {0}",
            out.display()
        );
        let argv = ["sh", "-c", &script].map(str::to_owned).to_vec();
        let config = HooksConfig { on_exit: argv, timeout: Span::from_secs(30) };
        let mut hooks = Hooks::new("a".into(), &config, "/log".into());
        hooks.exited(&report(), "crash", Timestamp::EPOCH);
        hooks.finish().await;
        let text = std::fs::read_to_string(out).unwrap();
        assert!(text.contains(r#""signal":11"#) && text.trim_end().ends_with(" signaled 11 /c"), "{text}");
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed() {
        let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
        let config = HooksConfig { on_exit: argv, timeout: Span::from_millis(50) };
        let mut hooks = Hooks::new("a".into(), &config, "/log".into());
        hooks.exited(&report(), "crash", Timestamp::EPOCH);
        hooks.finish().await;
    }
}
