//! What the server is told: by the agent, and on the console.

use super::{LOAD, LoopEnd, MAX_LINE, Server, Sources};
use crate::{
    model::game::GameNotice,
    practice::{
        api::follower::AgentMessage,
        console::{Command, HELP},
        game::JoinPolicy,
        options::{Readiness, Sigterm},
    },
};

impl Server {
    pub(super) fn told(&mut self, followed: AgentMessage) -> Option<LoopEnd> {
        match followed {
            AgentMessage::Reset => {
                log!("the agent has started anew; telling it everything again");
                self.reporter.forget();
            }
            AgentMessage::Notice(GameNotice::Allocated {
                allocation, session_id, startup_params, join_token, ..
            }) => {
                let id = allocation.allocation_id.to_string();
                log!("allocated: {id} for session {session_id}");
                self.game.join_token = join_token;
                if self.allocation.as_deref() != Some(&id) {
                    self.allocation = Some(id);
                    self.begin(&startup_params.map, startup_params.mode.as_deref(), &startup_params.misc_params);
                }
            }
            AgentMessage::Notice(GameNotice::Backfilled { players }) => {
                log!("backfilled: {} players will come", players.len());
            }
            AgentMessage::Notice(GameNotice::NotInSession { id }) => log!("player {id} is no member of the session"),
            AgentMessage::Notice(GameNotice::Drain { reason, deadline }) => {
                log!("draining until {deadline}: {reason}");
                self.draining = true;
                self.game.joins = JoinPolicy::Closed("draining");
                let told = self.game.announce("this server ends soon: finish your match");
                self.apply(told);
            }
            AgentMessage::Notice(GameNotice::Stop { within }) => {
                log!("the agent stops this server within {within:?}");
                if self.schedule.faults.refuse_sigterm == Sigterm::Obeyed {
                    return Some(self.end("told by the agent"));
                }
            }
            AgentMessage::Notice(GameNotice::SessionLost) => log!("the session is gone; playing on"),
        }
        None
    }

    /// Another allocation for a game that is up.
    fn begin(&mut self, map: &str, mode: Option<&str>, misc: &str) {
        self.end_match("allocated anew");
        let mut faults = self.schedule.faults.clone();
        for strange in faults.apply_misc(misc) {
            log!("misc: passing over {strange:?}");
        }
        let now = self.now();
        if faults != self.schedule.faults {
            self.schedule.rearm(faults, now);
        }
        self.change_map(map, mode);
        if self.ready_at.is_none() && self.schedule.faults.never_ready == Readiness::Normal {
            self.ready_at = Some(now + LOAD);
        }
    }

    fn change_map(&mut self, map: &str, mode: Option<&str>) {
        let changed = self.game.change_map(map, mode);
        self.apply(changed);
        log!("map: {}, mode: {}", self.game.map, self.game.mode);
        let playing = (self.game.map.clone(), self.game.mode.clone());
        self.reporter.set(|facts| facts.playing = Some(playing));
    }

    pub(super) fn console(&mut self, sources: &mut Sources) -> Option<LoopEnd> {
        let mut buffer = [0; MAX_LINE];
        let read = sources.stdin.as_mut().map_or(Ok(0), |stdin| rustix::io::read(stdin, &mut buffer));
        match read {
            Ok(0) | Err(_) => sources.stdin = None,
            Ok(length) => sources.line.extend_from_slice(&buffer[..length]),
        }
        while let Some(end) = sources.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = sources.line.drain(..=end).collect();
            if let Some(end) = self.command(String::from_utf8_lossy(&line).trim()) {
                return Some(end);
            }
        }
        if sources.line.len() > MAX_LINE {
            sources.line.clear();
        }
        None
    }

    pub(super) fn command(&mut self, line: &str) -> Option<LoopEnd> {
        if line.is_empty() {
            return None;
        }
        match line.parse::<Command>() {
            Err(why) => log!("{why}"),
            Ok(Command::Quit) => return Some(self.end("told on the console")),
            Ok(Command::Help) => log!("{HELP}"),
            Ok(Command::Say(text)) => {
                let told = self.game.announce(&text);
                self.apply(told);
            }
            Ok(Command::Map(map, mode)) => self.change_map(&map, mode.as_deref()),
            Ok(Command::Start) if self.running.is_none() => self.start_match(),
            Ok(Command::Start) => log!("a match is running"),
            Ok(Command::End) => self.end_match("told on the console"),
            Ok(Command::Kick(name)) => {
                let kicked = self.game.kick(&name);
                self.apply(kicked);
            }
            Ok(Command::Open) => self.set_joinable(true),
            Ok(Command::Close) => self.set_joinable(false),
            Ok(Command::Status) => self.show(),
            Ok(Command::Misbehave(faults)) => {
                let now = self.now();
                self.schedule.rearm(faults, now);
            }
        }
        None
    }

    fn set_joinable(&mut self, joinable: bool) {
        self.game.joins = if joinable { JoinPolicy::Open } else { JoinPolicy::Closed("closed") };
        self.reporter.set(|facts| facts.joinable = Some(joinable));
        log!("{} to new players", if joinable { "open" } else { "closed" });
    }

    fn show(&self) {
        log!("map {}, mode {}, match {:?}", self.game.map, self.game.mode, self.running.as_ref().map(|(id, _)| id));
        log!("{} of {} players, {} ticks", self.game.players().len(), self.game.places, self.game.ticks());
        for player in self.game.players() {
            log!("  {} ({}) from {}", player.name, player.id, player.address);
        }
    }
}
