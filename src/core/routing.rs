//! Who hears of what: each signal of a machine, and the machines that take it.

use super::{
    allocation::AllocationEvent,
    backfill::BackfillEvent,
    ending::EndingEvent,
    engine::Core,
    game_match::{AfterDrain, MatchEvent},
    game_words::WordsEvent,
    health::HealthEvent,
    keeper_link::KeeperEvent,
    outbox::OutboxEvent,
    players::PlayersEvent,
    process::ProcessEvent,
    session::{SessionEvent, SessionLink},
    signal::{AfterLoss, Signal},
};

impl Core {
    /// Passes on what a machine had to say, before anything else happens.
    pub(super) fn deliver(&mut self) {
        for signal in self.decisions.take_signals() {
            self.route(signal);
        }
    }

    #[allow(clippy::too_many_lines, reason = "one line for each thing that one machine has to say to another")]
    fn route(&mut self, signal: Signal) {
        match signal {
            Signal::RunAttended => self.on_health(HealthEvent::RunAttended),
            Signal::RunReady => self.on_health(HealthEvent::Proved),
            Signal::RunEnded(end) => {
                self.on_keeper(KeeperEvent::RunEnded);
                self.on_game(MatchEvent::RunEnded(end));
            }
            Signal::Restarting => self.on_game(MatchEvent::Restarting),
            Signal::NotRestarted { status, report } => {
                self.on_game(MatchEvent::NotRestarted { status, report: *report });
            }
            Signal::CrashLoop { why, report } => self.on_game(MatchEvent::CrashLoop { why, report: *report }),
            Signal::EndWasAnnounced => self.on_game(MatchEvent::EndWasAnnounced),
            Signal::Unkillable { why } => {
                self.on_game(MatchEvent::Unkillable { why });
                self.on_ending(EndingEvent::LookForUnkillable);
            }
            Signal::Launch(spec) => self.on_process(ProcessEvent::Launch(spec)),
            Signal::MatchMeetsGame(spec) => self.on_process(ProcessEvent::MeetMatch(spec)),
            Signal::StopBegun { reason } => self.on_process(ProcessEvent::StopBegun { reason }),
            Signal::ProcessReused => {
                self.on_process(ProcessEvent::Reused);
                self.on_words(WordsEvent::NextMatch);
                self.on_players(PlayersEvent::NextMatch);
            }
            Signal::RunFailed(failure) => self.on_process(ProcessEvent::Failed(failure)),
            Signal::RestartCancelled => self.on_process(ProcessEvent::RestartCancelled),
            Signal::RestAfterFailure => self.on_process(ProcessEvent::RestAfterFailure),
            Signal::TellAllocation => self.on_process(ProcessEvent::TellAllocation),
            Signal::RunUseless { why } => self.on_process(ProcessEvent::Useless { why }),
            Signal::Report(report) => self.on_outbox(OutboxEvent::Report(report)),
            Signal::MatchClosed(closed) => {
                let (session, instance) = (closed.session.clone(), closed.instance.clone());
                self.on_outbox(OutboxEvent::MatchClosed(closed));
                self.on_backfill(BackfillEvent::MatchClosed { session, instance });
            }
            Signal::SessionChanged => {
                self.on_session(SessionEvent::Changed);
                self.on_allocation(AllocationEvent::MatchChanged);
                self.on_outbox(OutboxEvent::MatchChanged);
                self.on_backfill(BackfillEvent::Reset);
                self.on_health(HealthEvent::NextMatch);
            }
            Signal::AllocationAbandoned => self.on_allocation(AllocationEvent::Abandoned),
            Signal::FinalReports { reason, then } => self.on_ending(EndingEvent::FinalReports { reason, then }),
            Signal::ShuttingDown => self.on_ending(EndingEvent::ShutDown),
            Signal::MatchPrepared(prepared) => {
                self.on_outbox(OutboxEvent::Add(Box::new(prepared.outbox.clone())));
                self.on_game(MatchEvent::Begin(prepared));
            }
            Signal::InstanceRefused { outbox, why } => self.on_outbox(OutboxEvent::AddClosed(outbox, why)),
            Signal::CantStart { why } => self.on_game(MatchEvent::CantStart { why }),
            Signal::NewSession { session, instance, outbox } => {
                self.on_outbox(OutboxEvent::Add(outbox));
                self.on_game(MatchEvent::NewSession { session, instance });
            }
            Signal::AllocationTakenBack => {
                let reason = "the allocation was taken back".to_owned();
                self.on_game(MatchEvent::Drain { reason, then: AfterDrain::Recycle });
            }
            Signal::SessionRead(session) => self.on_session(SessionEvent::Read(session)),
            Signal::ReportAnswered { instance } => self.on_session(SessionEvent::Answered { instance }),
            Signal::SessionNotFound { instance } => self.on_session(SessionEvent::NotFound { instance }),
            Signal::PostRefused { instance, why } => {
                let current = self.facts.is_current(&instance);
                self.on_outbox(OutboxEvent::Forget(instance));
                if current {
                    self.on_process(ProcessEvent::RestAfterRefusal);
                    let reason = format!("the session service refused the instance: {why}");
                    self.on_game(MatchEvent::Finish { reason });
                }
            }
            Signal::TakenAway { instance, why } => {
                let ours = self.facts.is_current(&instance) && self.facts.session.link != SessionLink::Gone;
                self.on_outbox(OutboxEvent::Forget(instance));
                if ours {
                    self.on_session(SessionEvent::Gone);
                    self.on_game(MatchEvent::Drain { reason: why, then: AfterDrain::Recycle });
                }
            }
            Signal::EndReported { session } => self.on_game(MatchEvent::EndReported { session }),
            Signal::SessionLost { instance, then } => {
                let reason = "the session is gone".to_owned();
                self.on_outbox(OutboxEvent::Forget(instance));
                self.on_backfill(BackfillEvent::Reset);
                match then {
                    AfterLoss::PlayOn => {}
                    AfterLoss::Recreate => self.on_allocation(AllocationEvent::SessionLost),
                    AfterLoss::Drain => self.on_game(MatchEvent::Drain { reason, then: AfterDrain::Recycle }),
                    AfterLoss::Stop => self.on_game(MatchEvent::StopGame { reason }),
                }
            }
            Signal::SessionUnchanged => self.on_players(PlayersEvent::SessionRead),
            Signal::Reading(session) => {
                self.on_backfill(BackfillEvent::Seen(session));
                self.on_players(PlayersEvent::SessionRead);
            }
            Signal::ReadSessionSoon => self.on_session(SessionEvent::ReadSoon),
            Signal::ServiceUp => {
                self.on_outbox(OutboxEvent::ServiceUp);
                self.on_allocation(AllocationEvent::RetryNow);
                self.on_health(HealthEvent::ServiceUp);
                self.on_backfill(BackfillEvent::ServiceUp);
            }
        }
    }
}
