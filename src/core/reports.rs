//! From the state to what the session service should show, and to what is said to the provider.
//!
//! Everything here compares what is wanted with what was said last; nothing remembers to do anything.

use super::{
    engine::{Core, Purpose},
    io::Effect,
    launch,
    publish::{Lane, Outcome, Works},
    settings::Settings,
    state::{Link, Match, Phase, Then},
};
use crate::model::{
    CustomData,
    calls::{Answer, Backend, Call, Refusal},
    game::{Admission, CustomDataOf},
    ids::InstanceId,
    policy::ReportBy,
    session::{InstanceUpdate, JoinParams, JoinStatus},
};

/// Where players connect to; empty where it isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnStrs {
    public: String,
    private: String,
}

impl ConnStrs {
    /// Public only if it is known: a private address never goes there.
    pub fn new(settings: &Settings) -> Self {
        let addresses = &settings.addresses;
        let fill = |host: &Option<String>, format: &str| {
            let host = host.as_deref()?;
            launch::address(format, host, &addresses.port, &settings.launch.ports).ok()
        };
        ConnStrs {
            public: fill(&addresses.public, &addresses.public_format).unwrap_or_default(),
            private: fill(&addresses.private, &addresses.private_format).unwrap_or_default(),
        }
    }
}

/// The key under which the join token travels.
pub const JOIN_TOKEN_KEY: &str = "rh.SessionSecurityToken";

impl Core {
    pub(super) fn lane(&self, instance: &InstanceId) -> Option<&Lane> {
        self.state.lanes.iter().find(|lane| lane.is_ours(instance))
    }

    pub(super) fn lane_mut(&mut self, instance: &InstanceId) -> Option<&mut Lane> {
        self.state.lanes.iter_mut().find(|lane| lane.is_ours(instance))
    }

    /// The gate opened after the start of serving.
    pub(super) fn first_joinable_later(&mut self) {
        let Phase::Serving(game) = &self.state.phase else { return };
        if game.first_joinable.is_none() && self.gate_of(game) == Admission::Open {
            let now = self.now;
            if let Some(game) = self.state.phase.game_mut() {
                game.first_joinable = Some(now);
            }
            self.milestone(JoinStatus::Joinable);
        }
    }

    pub(super) fn milestone(&mut self, status: JoinStatus) {
        let at = self.wall;
        let Some(instance) = self.state.phase.game().map(|game| game.instance.clone()) else { return };
        if let Some(lane) = self.lane_mut(&instance) {
            lane.milestone(status, at);
        }
    }

    /// For the session's audit, in its order among the reports.
    pub(super) fn note(&mut self, name: &str, reason: &str) {
        let at = self.wall;
        let Some(instance) = self.state.phase.game().map(|game| game.instance.clone()) else { return };
        if let Some(lane) = self.lane_mut(&instance) {
            lane.note(name, reason, at);
        }
    }

    /// What the session should show.
    pub(super) fn join_status(&self) -> Option<JoinStatus> {
        match &self.state.phase {
            Phase::Idle | Phase::Acquiring(_) | Phase::Leaving(_) | Phase::Closing(None, _) => None,
            Phase::Starting(_) => Some(JoinStatus::Pending),
            Phase::Serving(game) => Some(match self.gate_of(game) {
                Admission::Open => JoinStatus::Joinable,
                Admission::Closed => JoinStatus::Unjoinable,
            }),
            Phase::Draining(..) | Phase::Closing(Some(_), _) => Some(JoinStatus::Unjoinable),
        }
    }

    pub(super) fn levels(&mut self) {
        let Some(game) = self.state.phase.game() else { return };
        let (instance, level) = (game.instance.clone(), self.level(game));
        let browser = self.custom(CustomDataOf::Browser);
        let own =
            game.own || self.state.process.run().is_some_and(|run| run.custom.contains_key(&CustomDataOf::Browser));
        if let Some(lane) = self.lane_mut(&instance) {
            lane.want(level);
            if own {
                lane.want_browser(browser);
            }
        }
    }

    fn level(&self, game: &Match) -> InstanceUpdate {
        let ready = game.first_joinable.is_some() || matches!(self.state.phase, Phase::Serving(_));
        InstanceUpdate {
            allocation_id: None,
            join_status: self.join_status(),
            join_params: ready.then(|| self.join_params(game)),
            version: self.version(),
            custom_data: ready.then(|| self.custom(CustomDataOf::Instance)),
            match_id: game.match_id.as_ref().filter(|_| ready).map(|id| id.as_str().to_owned()),
        }
    }

    pub(super) fn version(&self) -> Option<semver::Version> {
        let said = self.state.process.run().and_then(|run| run.version.clone());
        said.or_else(|| self.settings.launch.version.clone())
    }

    pub(super) fn join_params(&self, game: &Match) -> JoinParams {
        let mut custom_data = self.custom(CustomDataOf::JoinParams);
        if let Some(token) = &game.join_token {
            custom_data.insert(JOIN_TOKEN_KEY.to_owned(), token.clone());
        }
        JoinParams {
            public_conn_str: self.conn_strs.public.clone(),
            private_conn_str: self.conn_strs.private.clone(),
            custom_data,
        }
    }

    /// What is played now, where that isn't what the match was started with.
    fn played(&self) -> Vec<(String, String)> {
        let (Some(game), Some(run)) = (self.state.phase.game(), self.state.process.run()) else { return Vec::new() };
        let map = run.map.clone().filter(|map| *map != game.params.map);
        let mode = run.mode.clone().filter(|mode| Some(mode) != game.params.mode.as_ref());
        [("map", map), ("mode", mode)].into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect()
    }

    /// The configuration's data, and the game's over it; an empty value of the game's removes the key.
    pub(super) fn custom(&self, whose: CustomDataOf) -> CustomData {
        let session = &self.settings.session;
        let mut data = match whose {
            CustomDataOf::Instance => session.instance_data.clone(),
            CustomDataOf::JoinParams => session.join_data.clone(),
            CustomDataOf::Browser => session.browser_data.clone(),
        };
        let said = self.state.process.run().and_then(|run| run.custom.get(&whose));
        if whose == CustomDataOf::Instance {
            data.extend(self.played());
        }
        for (key, value) in said.into_iter().flatten() {
            if value.is_empty() {
                data.remove(key);
            } else {
                data.insert(key.clone(), value.clone());
            }
        }
        data
    }

    /// Sends what may be sent: one request a lane, and a session's next lane only after its last.
    pub(super) fn pump(&mut self) {
        self.drop_idle_lanes();
        for index in 0..self.state.lanes.len() {
            let (before, rest) = self.state.lanes.split_at_mut(index);
            let lane = &mut rest[0];
            lane.ripen(self.now);
            if before.iter().any(|earlier| earlier.session == lane.session) {
                continue;
            }
            let (instance, closing) = (lane.instance.clone(), lane.is_closing());
            if !closing && self.keeper.hello.is_none() {
                // Whether the match still is what the journal says, the keeper knows.
                continue;
            }
            let Some(call) = lane.next_call() else { continue };
            let ahead = matches!(call, Call::PostInstance { .. });
            match (ahead, closing) {
                (true, _) => self.call_written_ahead(call, Purpose::Lane(instance)),
                (false, true) => self.call_soon(call, Purpose::Lane(instance)),
                (false, false) => self.call(call, Purpose::Lane(instance)),
            }
        }
    }

    /// Lanes whose end is known there, or that never began.
    pub(super) fn drop_idle_lanes(&mut self) {
        self.state.lanes.retain(|lane| !lane.owes_nothing());
    }

    pub(super) fn lane_answered(&mut self, instance: &InstanceId, answer: &Result<Answer, Refusal>) {
        let works = if self.backend_works() { Works::Yes } else { Works::No };
        let (now, jitter) = (self.now, &mut self.jitter);
        let Some(lane) = self.state.lanes.iter_mut().find(|lane| lane.is_ours(instance)) else { return };
        let session = lane.session.clone();
        let outcome = lane.answered(answer.as_ref(), works, now, jitter);
        if let Ok(Answer::Session(read)) = answer {
            self.session_read(read);
        }
        match answer {
            Ok(Answer::Session(_)) => self.link_held(instance),
            Ok(_) => {
                self.link_held(instance);
                self.refusals.waiting.take_if(|(lane, _)| lane == instance);
            }
            Err(refusal @ Refusal::Credentials { .. }) => self.refused(instance, &refusal.to_string()),
            Err(_) => {}
        }
        match outcome {
            Outcome::Nothing | Outcome::Posted => {}
            Outcome::Shown(status) => self.shown(instance, status),
            Outcome::PostRefused { why } => self.post_refused(instance, &why),
            Outcome::Refused { why } => self.refused(instance, &why),
            Outcome::Dropped { why } => {
                let why = format!("the session service refused a report, it was dropped: {why}");
                self.happened("report_refused", why.clone(), &[]);
                self.refusals.dropped = Some(why);
            }
            Outcome::SessionNotFound => self.session_not_found(instance),
            Outcome::TakenAway { why } => self.taken_away(instance, &why),
            Outcome::Delivered => self.delivered(instance, session.as_str()),
        }
    }

    /// Reports wait for as long as it takes, so somebody has to be told why.
    fn refused(&mut self, instance: &InstanceId, why: &str) {
        let refusal = Some((instance.clone(), format!("the session service doesn't take our reports: {why}")));
        if self.refusals.waiting != refusal {
            self.refusals.waiting = refusal;
            self.happened("report_refused", format!("the session service doesn't take our reports: {why}"), &[]);
        }
    }

    fn shown(&mut self, instance: &InstanceId, status: JoinStatus) {
        let seen = Some((instance.clone(), status));
        if self.last.shown == seen {
            return;
        }
        self.last.shown = seen;
        let (kind, text) = match status {
            JoinStatus::Pending => ("pending", "pending: the game is starting"),
            JoinStatus::Joinable => ("joinable", "joinable"),
            JoinStatus::Unjoinable => ("unjoinable", "unjoinable"),
            JoinStatus::Requested | JoinStatus::Allocated | JoinStatus::Closed => return,
        };
        let game = self.state.phase.game().filter(|_| status == JoinStatus::Joinable);
        let params = game.map(|game| self.join_params(game)).unwrap_or_default();
        let (public, private) = (params.public_conn_str.as_str(), params.private_conn_str.as_str());
        let address = if public.is_empty() { private } else { public };
        let text = if address.is_empty() { text.to_owned() } else { format!("{text} at {address}") };
        self.happened(kind, text, &[("public_conn_str", public), ("private_conn_str", private)]);
    }

    fn delivered(&mut self, instance: &InstanceId, session: &str) {
        self.state.lanes.retain(|lane| !lane.is_ours(instance));
        self.happened("reported", format!("the end is reported to session {session}"), &[("session_id", session)]);
        if let Some(end) = &mut self.state.last_end
            && end.session_id.as_ref().is_some_and(|id| id.as_str() == session)
        {
            end.reported = true;
        }
    }

    /// The service closed our instance, or gave the session another.
    pub(super) fn taken_away(&mut self, instance: &InstanceId, why: &str) {
        self.state.lanes.retain(|lane| !lane.is_ours(instance));
        let ours = self.state.phase.game().is_some_and(|game| game.instance == *instance && game.link != Link::Gone);
        if !ours {
            return;
        }
        if let Some(game) = self.state.phase.game_mut() {
            game.link = Link::Gone;
        }
        self.drain(why, Then::Recycle);
    }

    pub(super) fn say_offer(&mut self) {
        let offer = self.offer();
        if self.last.provide.as_ref() != Some(&offer) {
            self.last.provide = Some(offer.clone());
            self.effect(Effect::Availability(offer));
        }
    }

    pub(super) fn backend_works(&self) -> bool {
        match self.backend {
            Backend::Untried | Backend::Up => true,
            Backend::Away { .. } | Backend::Refused { .. } => false,
        }
    }

    pub(super) fn backend_changed(&mut self, backend: Backend) {
        let was = std::mem::replace(&mut self.backend, backend);
        match &self.backend {
            Backend::Up => {
                if !matches!(was, Backend::Untried | Backend::Up) {
                    self.happened("backend_up", "the session service is back", &[]);
                }
                self.state.lanes.iter_mut().for_each(Lane::retry_now);
                self.acquire.retry_at = None;
                self.poll.now();
                self.health.retry_now();
                self.backfill.retry_now();
            }
            Backend::Away { why, .. } if !matches!(was, Backend::Away { .. }) => {
                let text = format!("the session service can't be reached: {why}; the game goes on");
                self.happened("backend_away", text, &[]);
            }
            Backend::Refused { why, .. } if !matches!(was, Backend::Refused { .. }) => {
                let text = format!("the session service refuses our credentials: {why}; the game goes on");
                self.happened("backend_refused", text, &[]);
            }
            Backend::Untried | Backend::Away { .. } | Backend::Refused { .. } => {}
        }
    }

    /// The agent writes the instance, rather than the game.
    pub(super) fn writes(&self) -> bool {
        self.settings.session.report == ReportBy::Agent
    }

    /// The match, where its session is there to be written to.
    pub(super) fn linked(&self) -> Option<&Match> {
        let game = self.state.phase.game().filter(|_| self.keeper.hello.is_some())?;
        let posted = self.lane(&game.instance).is_some_and(|lane| lane.is_posted() && !lane.is_closing());
        (posted && matches!(game.link, Link::Held | Link::Doubtful { .. })).then_some(game)
    }
}
