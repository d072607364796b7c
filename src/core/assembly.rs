//! Putting the core together from what is remembered, and the other way round.

use super::{
    allocation::AllocationMachine,
    availability::Availability,
    backfill::Backfill,
    decisions::Decisions,
    desired_state::Addresses,
    durable::Memory,
    ending::{EndingEvent, EndingMachine},
    engine::Core,
    facts::Facts,
    game_match::{AfterDrain, GameMatch, MatchStage},
    game_words::GameWords,
    gateway_link::GatewayLink,
    health::Health,
    journal::Journal,
    keeper_link::{KeeperLink, Recovery},
    outbox::{Outbox, OutboxEvent},
    players::Players,
    process::ProcessMachine,
    session::{SessionEvent, SessionMachine},
    settings::Settings,
    steady_time::Clock,
};
use crate::model::time::Now;

impl Core {
    /// Machines with this memory, and the facts that they know of each other.
    pub(super) fn assemble(
        memory: Memory,
        recovery: Recovery,
        settings: Settings,
        clock: Clock,
        decisions: Decisions,
        now: Now,
    ) -> Self {
        let keeper = KeeperLink::restore(memory.keeper, memory.former_keepers, recovery);
        let allocation = AllocationMachine::restore(memory.allocation);
        let process = ProcessMachine::restore(memory.process);
        let words = GameWords::restore(memory.words);
        let gateway = GatewayLink::restore(memory.heard);
        let players = Players::restore(memory.roster, memory.tellers);
        let game = GameMatch::restore(memory.game);
        let outbox = Outbox::restore(memory.outboxes);
        let session = SessionMachine::restore(memory.link);
        let health = Health::restore(memory.pings);
        let ending = EndingMachine::restore(memory.reports);
        let journal = Journal::default();
        let facts = Facts {
            now: clock.steady(now),
            wall: now.wall,
            addresses: Addresses::new(&settings),
            settings,
            game: game.facts(),
            process: process.facts(),
            words: words.facts(),
            gateway: gateway.facts(),
            players: players.facts(),
            keeper: keeper.facts(),
            session: session.facts(),
            outbox: outbox.facts(),
            health: health.facts(),
            allocation: allocation.facts(),
            ending: ending.facts(),
            journal: journal.facts(),
        };
        Core {
            clock,
            phase: facts.phase(),
            facts,
            decisions,
            keeper,
            allocation,
            process,
            words,
            gateway,
            players,
            game,
            outbox,
            session,
            health,
            backfill: Backfill::default(),
            availability: Availability::default(),
            ending,
            journal,
            settings_changes: 0,
            settled: None,
        }
    }

    /// Everything that is to be remembered.
    pub(super) fn memory(&self) -> Memory {
        Memory {
            anchor: Some(self.clock.anchor()),
            keeper: self.keeper.id().cloned(),
            former_keepers: self.keeper.former().to_vec(),
            game: self.game.state().clone(),
            process: self.process.state().clone(),
            words: self.facts.words.as_ref().clone(),
            roster: self.facts.players.as_ref().clone(),
            tellers: self.players.tellers().cloned(),
            pings: self.health.pings(),
            heard: self.gateway.recorded().cloned(),
            link: self.facts.session.link,
            allocation: self.allocation.state().clone(),
            reports: self.ending.reports().cloned(),
            outboxes: self.outbox.outboxes().to_vec(),
        }
    }

    /// Replaces the memory by another one: the keeper's record.
    pub(super) fn recall(&mut self, memory: Memory) {
        self.keeper.recall(memory.keeper, memory.former_keepers);
        self.allocation.recall(memory.allocation);
        self.process.recall(memory.process);
        self.words.recall(memory.words);
        self.gateway.recall(memory.heard);
        self.players.recall(memory.roster, memory.tellers);
        self.game.recall(memory.game);
        self.outbox.recall(memory.outboxes);
        self.session.recall(memory.link);
        self.health.recall(memory.pings);
        self.ending.recall(memory.reports);
        self.refresh();
        self.woken();
    }

    fn refresh(&mut self) {
        self.facts.keeper = self.keeper.facts();
        self.facts.allocation = self.allocation.facts();
        self.facts.process = self.process.facts();
        self.facts.words = self.words.facts();
        self.facts.gateway = self.gateway.facts();
        self.facts.players = self.players.facts();
        self.facts.game = self.game.facts();
        self.facts.outbox = self.outbox.facts();
        self.facts.session = self.session.facts();
        self.facts.health = self.health.facts();
        self.facts.ending = self.ending.facts();
        self.phase = self.facts.phase();
    }

    /// The first step of a life: what was shown before isn't news, and what was under way is asked again.
    pub(super) fn woken(&mut self) {
        let ends = match &self.game.state().stage {
            MatchStage::Draining(_, drain) => drain.then != AfterDrain::Recycle,
            MatchStage::Closing(_, closing) => closing.then != AfterDrain::Recycle,
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => false,
        };
        self.on_ending(EndingEvent::HostDeadline(None));
        self.on_ending(EndingEvent::Woken { ends });
        if let Some(instance) = self.facts.game.game.as_ref().map(|game| game.instance.clone()) {
            self.on_outbox(OutboxEvent::Known(instance));
            self.on_session(SessionEvent::ReadSoon);
        }
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn memory_text(&self) -> String {
        self.journal.text_of(&self.memory())
    }
}
