//! What one machine has to say to another. The wiring (`routing`) passes it on; no machine knows
//! which others take it.

use super::{
    game_match::{AfterDrain, Prepared},
    process::RunEnd,
};
use crate::model::{
    ids::{InstanceId, SessionId},
    process::{ExitReport, LaunchSpec},
    session::{JoinStatus, Session},
    time::Timestamp,
};

#[derive(Debug)]
pub(super) enum Signal {
    // Of the process.
    /// The run is to be watched: it was started, or adopted.
    RunAttended,
    RunReady,
    /// The run ended, and its containment is empty.
    RunEnded(Box<RunEnd>),
    /// A run that ended is started again after a delay.
    Restarting,
    /// A run that ended is not started again.
    NotRestarted {
        status: String,
        report: Box<ExitReport>,
    },
    CrashLoop {
        why: String,
        report: Box<ExitReport>,
    },
    /// The game's announcement of its end arrived after its end.
    EndWasAnnounced,
    Unkillable {
        why: String,
    },

    // Of the match.
    Launch(Box<LaunchSpec>),
    /// A match begins for which the game would be started so.
    MatchMeetsGame(Box<LaunchSpec>),
    /// The stop sequence of the match has begun.
    StopBegun {
        reason: String,
    },
    /// The process serves another match.
    ProcessReused,
    /// An end that nobody asked for: is the run started again?
    RunFailed(Box<RunFailure>),
    RestartCancelled,
    /// No match is begun before the restart window has passed.
    RestAfterFailure,
    /// For the session, in its order among the reports.
    Report(Report),
    MatchClosed(MatchClosed),
    /// What was known about the last session is over.
    SessionChanged,
    AllocationAbandoned,
    /// The agent is to end, once the last reports are out.
    FinalReports {
        reason: String,
        then: AfterDrain,
    },
    ShuttingDown,
    /// The game is told which match it serves.
    TellAllocation,

    // Of the allocation.
    MatchPrepared(Box<Prepared>),
    /// The service waits for an instance that can't be served.
    InstanceRefused {
        outbox: Box<super::instance_outbox::InstanceOutbox>,
        why: String,
    },
    /// A session was read on the way.
    SessionRead(Box<Session>),
    CantStart {
        why: String,
    },
    NewSession {
        session: SessionId,
        instance: InstanceId,
        outbox: Box<super::instance_outbox::InstanceOutbox>,
    },
    AllocationTakenBack,

    // Of the instance outbox.
    ReportAnswered {
        instance: InstanceId,
    },
    SessionNotFound {
        instance: InstanceId,
    },
    PostRefused {
        instance: InstanceId,
        why: String,
    },
    TakenAway {
        instance: InstanceId,
        why: String,
    },
    /// The service knows of the end of an instance, or needn't be told.
    EndReported {
        session: SessionId,
    },

    // Of the session.
    SessionLost {
        instance: InstanceId,
        then: AfterLoss,
    },
    /// It was asked for anew, and is as it was.
    SessionUnchanged,
    /// The session service is up.
    ServiceUp,
    /// The session was read anew.
    Reading(Box<Session>),

    // Of health, players and backfill.
    RunUseless {
        why: String,
    },
    ReadSessionSoon,
}

/// Something that the session is told in its order, however late.
#[derive(Debug)]
pub(super) struct Report {
    pub instance: InstanceId,
    pub item: ReportItem,
}

#[derive(Debug)]
pub(super) enum ReportItem {
    /// A level that must not be passed over in silence.
    Milestone(JoinStatus),
    /// An event for the session's audit.
    Note { name: &'static str, reason: String, at: Timestamp },
}

impl Report {
    pub(super) fn milestone(instance: InstanceId, status: JoinStatus) -> Self {
        Report { instance, item: ReportItem::Milestone(status) }
    }

    pub(super) fn note(instance: InstanceId, name: &'static str, reason: String, at: Timestamp) -> Self {
        Report { instance, item: ReportItem::Note { name, reason, at } }
    }
}

/// The match is over, for this reason: its session gets the last report.
#[derive(Debug)]
pub(super) struct MatchClosed {
    pub session: SessionId,
    pub instance: InstanceId,
    pub reason: String,
}

/// What follows when the session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterLoss {
    PlayOn,
    Recreate,
    Drain,
    Stop,
}

/// An end that nobody asked for, for the crash book.
#[derive(Debug)]
pub(super) struct RunFailure {
    pub end: RunEnd,
    /// It ended well; it is to be started again all the same.
    pub success: bool,
}
