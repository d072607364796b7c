//! Rounds drawn anew each time, and those that failed once.

use super::{
    acts::{Act, Round},
    coverage::Coverage,
    play, play_rounds,
};
use crate::{
    core::testing::{Disk, Net},
    model::{
        allocation::ProviderKind,
        calls::Refusal,
        game::{EventSource, GameEvent, Kept},
        policy::Start,
    },
};

/// `GAMESIDE_SEED` plays one round again, `GAMESIDE_ROUNDS` plays more of them.
#[test]
fn the_invariants_hold_whatever_happens() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("GAMESIDE_SEED");
    let first = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()) << 20);
    let rounds = number("GAMESIDE_ROUNDS").unwrap_or(if seed.is_some() { 1 } else { 500 });
    let (coverage, failure) = play_rounds(first, rounds, |_| ());
    if let Some(failure) = failure {
        let (seed, why, round) = (failure.seed, failure.why, failure.round);
        panic!("GAMESIDE_SEED={seed} fails: {why}\nThe shortest round that does; it becomes a test below:\n{round}");
    }
    assert_eq!(coverage.rounds, rounds);
}

/// A table with holes would say that something never happens where it hurts.
#[test]
fn every_act_is_met_in_every_phase() {
    let (coverage, failure) = play_rounds(1, 500, |_| ());
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(coverage.unmet(), [], "{coverage}");
}

#[test]
fn a_seed_is_the_same_round_each_time() {
    assert_eq!(Round::of(7), Round::of(7));
    assert_ne!(Round::of(7), Round::of(8));
}

fn holds(provider: ProviderKind, start: Start, acts: &[Act]) {
    play::play(&Round { provider, start, acts: acts.to_vec() }, &mut Coverage::default());
}

/// A late answer names a call that was made: not one that still waits for a silent disk.
#[test]
fn an_end_that_waits_for_a_silent_disk_is_reported_by_the_next_life() {
    use Act::{Allocate, Exit, KillAgent, Late, Pass, Ready};
    let acts = [Allocate(0), Exit(0), Pass(447), Ready, Act::Disk(Disk::Silent), Exit(0), KillAgent, Late];
    holds(ProviderKind::Hook, Start::OnAllocation, &acts);
}

#[test]
fn an_agent_that_died_over_its_last_words_says_them_in_its_next_life() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Terminate, Act::Disk(Disk::Fails), Act::Pass(4990)];
    holds(ProviderKind::Auto, Start::OnAllocation, &acts);
}

#[test]
fn an_agent_that_detaches_over_its_final_reports_leaves_them_and_its_keeper_alone() {
    let away = Act::Net(Net::Refuses(Refusal::Unreachable { why: "refused".into() }));
    let acts = [away, Act::Terminate, Act::Disk(Disk::Silent), Act::Pass(500), Act::Detach, Act::Pass(4000)];
    holds(ProviderKind::Auto, Start::OnAllocation, &acts);
}

/// A restart that was put off is no concern of an agent that waits for its last commit.
#[test]
fn an_agent_that_waits_for_its_last_commit_does_nothing_else_meanwhile() {
    let acts = [Act::Disk(Disk::Fails), Act::Terminate, Act::Pass(2000), Act::Terminate, Act::Deadline];
    holds(ProviderKind::Hook, Start::AtBoot, &acts);
}

/// The disk works again, but the journal hasn't been tried anew yet: nobody was promised that this word lasts.
#[test]
fn a_word_said_before_the_journal_is_tried_again_may_be_forgotten_by_the_next_life() {
    let kept = Act::Says(EventSource::Native, GameEvent::Keep(Kept::from("book 0".to_owned())));
    let (fails, works) = (Act::Disk(Disk::Fails), Act::Disk(Disk::Works));
    let acts = [Act::Allocate(0), fails, Act::Pass(0), Act::Join, works, kept, Act::KillAgent];
    holds(ProviderKind::Hook, Start::OnAllocation, &acts);
}

#[test]
fn a_session_that_was_made_for_an_allocation_that_came_to_nothing_is_removed() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Allocate(2), Act::Terminate];
    holds(ProviderKind::Hook, Start::AtBoot, &acts);
}

#[test]
fn a_session_is_not_made_any_more_for_an_allocation_that_was_given_up_while_the_disk_was_silent() {
    let acts = [Act::Disk(Disk::Silent), Act::Allocate(0), Act::Pass(29_206)];
    holds(ProviderKind::Hook, Start::OnAllocation, &acts);
}

#[test]
fn a_session_whose_match_ended_before_its_instance_was_posted_is_removed() {
    let expired = Net::Refuses(Refusal::Credentials { desc: "expired".into() });
    let acts = [Act::Net(expired), Act::Ready, Act::Disk(Disk::Fails), Act::NewKeeper];
    holds(ProviderKind::Auto, Start::AtBoot, &acts);
}

#[test]
fn a_journal_that_is_set_aside_still_says_which_session_is_to_be_removed() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Ready, Act::KeeperGone { left: false }, Act::LoseJournal];
    holds(ProviderKind::Auto, Start::AtBoot, &acts);
}
