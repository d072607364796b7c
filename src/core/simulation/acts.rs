//! What may happen: to the agent, its game, its keeper, the session service, the host, the clocks
//! and the disk; and how a round is drawn from its seed.

use crate::{
    core::testing::{Disk, Net, secs},
    model::{
        allocation::ProviderKind,
        calls::Refusal,
        game::{Admission, EventSource, GameEvent, GamePlayer, Kept},
        gateway_facts::GatewayFact,
        policy::Start,
        session::InstanceHealth,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Pass(u64),
    /// Time passes up to the next deadline, and no further.
    Deadline,
    Ready,
    LateReady,
    Join,
    Leave,
    /// Anything else, through whatever the game speaks.
    Says(EventSource, GameEvent),
    /// A word of the last run, which may be over.
    LateEnd(GameEvent),
    Exit(i32),
    Net(Net),
    TimeOuts,
    Late,
    Disk(Disk),
    KillAgent,
    LoseJournal,
    NewKeeper,
    Reconnect,
    Allocate(u8),
    Drain,
    Terminate,
    Stop,
    Detach,
    SlowKeeper,
    Gap,
    SessionGone,
    TakenAway,
    Heartbeats,
    /// A batch of one of two gateways: the next, or the one that it sent so many batches ago.
    Batch {
        gateway: usize,
        ago: usize,
        said: Vec<(EventSource, GameEvent)>,
    },
    /// The game sends a heartbeat; whoever counts them tells of it when asked.
    Beat(EventSource),
    /// Whoever counts heartbeats answers from now on, or doesn't.
    Counts(bool),
    Gateway(GatewayFact),
    /// From now on a gateway has something to deliver to each new agent, or hasn't.
    Owes(bool),
    Evidence(bool),
    Deallocated(u8),
    Reload,
    /// The keeper is killed, and its game with it; none can be had until a new one comes. It may have left the game's end behind.
    KeeperGone {
        left: bool,
    },
    /// While no agent is there, the host stops the keeper, which stops the game.
    HostStops,
    /// While no agent is there, an operator stops the keeper, which stops the game and ends; the next agent finds what it
    /// has left behind, and then a new keeper.
    StoppedWithoutAgent,
    /// The keeper refuses the start that it is about to be given.
    StartRefused,
    /// The owner of the session deletes its instance; from now on a write to it is forbidden, or unknown.
    InstanceDeleted {
        forbids: bool,
    },
    /// The wall clock is set forward, also between two lives of the agent.
    ClockStep(u64),
    /// An order, and the agent's death as soon as it was answered.
    OrderAndKill(Ordered),
}

/// What an operator asks right before the agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ordered {
    Drain,
    Stop,
}

impl Act {
    /// Its name, without what it carries: a row of the table of what was met.
    pub(crate) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }
}

/// One round: how the agent is configured, and what happens to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Round {
    pub provider: ProviderKind,
    pub start: Start,
    pub acts: Vec<Act>,
}

impl Round {
    /// The round of a seed: the same one each time, as long as this file stays as it is.
    pub(crate) fn of(seed: u64) -> Round {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let provider = draw.one(&[ProviderKind::Auto, ProviderKind::Hook]);
        let start = draw.one(&[Start::OnAllocation, Start::AtBoot]);
        // Half of the rounds begin with somebody who plays: chance alone rarely comes to that.
        let mut acts = if draw.yes() { vec![Act::Allocate(0), Act::Ready, Act::Join] } else { Vec::new() };
        let length = draw.below(49) + 1;
        acts.extend((0..length).map(|_| draw.act()));
        Round { provider, start, acts }
    }
}

struct Draw(StdRng);

/// How often, and how it is drawn.
type Choice<T> = (u64, fn(&mut Draw) -> T);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    /// One of the choices, as often as its weight says.
    fn weighted<T>(&mut self, choices: &[Choice<T>]) -> T {
        let mut at = self.below(choices.iter().map(|(weight, _)| weight).sum());
        let chosen = choices.iter().find(|(weight, _)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        (chosen.expect("the draw lies below the sum of the weights").1)(self)
    }

    fn act(&mut self) -> Act {
        self.weighted(&[
            (6, |draw| Act::Pass(draw.below(40_000))),
            (4, |_| Act::Deadline),
            (6, |_| Act::Ready),
            (1, |_| Act::LateReady),
            (2, |_| Act::Join),
            (2, |_| Act::Leave),
            (8, |draw| Act::Says(draw.source(), draw.word())),
            (1, |draw| Act::LateEnd(draw.one(&[GameEvent::Shutdown, GameEvent::StopMe]))),
            (3, |draw| Act::Exit(draw.below(2) as i32)),
            (5, |draw| Act::Net(draw.net())),
            (2, |_| Act::TimeOuts),
            (1, |_| Act::Late),
            (2, |draw| Act::Disk(draw.one(&[Disk::Works, Disk::Works, Disk::Fails, Disk::Silent]))),
            (3, |_| Act::KillAgent),
            (1, |_| Act::LoseJournal),
            (1, |_| Act::NewKeeper),
            (1, |_| Act::Reconnect),
            (3, |draw| Act::Allocate(draw.below(4) as u8)),
            (3, |_| Act::Drain),
            (2, |_| Act::Terminate),
            (1, |_| Act::Stop),
            (2, |_| Act::Detach),
            (1, |_| Act::SlowKeeper),
            (1, |_| Act::Gap),
            (1, |_| Act::SessionGone),
            (1, |_| Act::TakenAway),
            (2, |_| Act::Heartbeats),
            (8, Draw::batch),
            (2, |draw| Act::Beat(draw.source())),
            (2, |draw| Act::Counts(draw.yes())),
            (2, |draw| Act::Gateway(draw.gateway_fact())),
            (1, |draw| Act::Owes(draw.yes())),
            (2, |draw| Act::Evidence(draw.yes())),
            (1, |draw| Act::Deallocated(draw.below(4) as u8)),
            (1, |_| Act::Reload),
            (1, |draw| Act::KeeperGone { left: draw.yes() }),
            (1, |_| Act::HostStops),
            (1, |_| Act::StoppedWithoutAgent),
            (1, |_| Act::StartRefused),
            (3, |draw| Act::InstanceDeleted { forbids: draw.yes() }),
            (1, |draw| Act::ClockStep(draw.below(7200))),
            (1, |draw| Act::OrderAndKill(draw.one(&[Ordered::Drain, Ordered::Stop]))),
        ])
    }

    fn net(&mut self) -> Net {
        self.weighted(&[
            (4, |_| Net::Up),
            (2, |_| Net::LosesAnswers),
            (1, |_| Net::Silent),
            (3, |draw| {
                let refusals = [
                    Refusal::Unreachable { why: "refused".into() },
                    Refusal::Ambiguous { why: "500".into() },
                    Refusal::Busy { retry_after: Some(secs(3)) },
                    Refusal::Credentials { desc: "expired".into() },
                    Refusal::NoSuchApi,
                    Refusal::NotFound { code: "not_found".into() },
                    Refusal::Invalid { desc: "no".into() },
                    Refusal::Conflict { code: "busy".into(), desc: "no".into() },
                    Refusal::Gone,
                ];
                Net::Refuses(draw.one(&refusals))
            }),
        ])
    }

    fn source(&mut self) -> EventSource {
        use EventSource::{Agones, Gsdk, Log, Native, Probe};
        self.one(&[Native, Agones, Gsdk, Log, Probe])
    }

    fn word(&mut self) -> GameEvent {
        let gates = [Admission::Open, Admission::Closed];
        match self.below(18) {
            0 | 1 => GameEvent::Joinable(self.one(&gates)),
            2 | 3 => GameEvent::Offer(self.one(&gates)),
            4 => GameEvent::Shutdown,
            5 | 6 => GameEvent::StopMe,
            7 | 8 => GameEvent::MatchEnded { allocation: None },
            9 => GameEvent::MatchStarted { match_id: None },
            10 | 11 => GameEvent::Keep(Kept::from(format!("book {}", self.below(4)))),
            12 => GameEvent::Hello,
            13 => GameEvent::Heartbeat,
            14 => {
                let health = self.one(&[InstanceHealth::Healthy, InstanceHealth::Unhealthy]);
                GameEvent::Health { health, reason: None }
            }
            15 => GameEvent::Players((0..self.below(4)).map(player).collect()),
            16 => GameEvent::PlayerCount { players: self.below(3) as u32, max: Some(8) },
            _ => GameEvent::Map { map: Some(format!("map{}", self.below(3))), mode: None },
        }
    }

    /// A batch that a gateway sends: one of two, the next batch or an earlier one again.
    fn batch(&mut self) -> Act {
        let said = (0..self.below(4)).map(|_| {
            let source = self.source();
            let word = self.weighted(&[
                (8, Draw::word),
                (1, |_| GameEvent::Ready),
                (1, |_| GameEvent::TickRate { measured: 20.0, target: Some(30.0) }),
            ]);
            (source, word)
        });
        let said = said.collect();
        let ago = if self.below(5) < 3 { 0 } else { self.below(3) as usize + 1 };
        Act::Batch { gateway: self.below(2) as usize, ago, said }
    }

    fn gateway_fact(&mut self) -> GatewayFact {
        match self.below(4) {
            0 | 1 => GatewayFact::Linked { pid: self.below(2) as i32 + 1, build: "1".into(), in_process: false },
            2 => GatewayFact::Heard,
            _ => GatewayFact::Lost { why: "gone".into() },
        }
    }
}

fn player(number: u64) -> GamePlayer {
    GamePlayer { id: uuid::Uuid::from_u128(u128::from(number)).to_string(), name: None, team: None }
}
