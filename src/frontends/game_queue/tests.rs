use super::*;
use futures_util::FutureExt as _;

const RUN: RunNumber = RunNumber(7);

fn message(id: usize) -> GameMessage {
    let event = GameEvent::PlayerLeft { id: id.to_string() };
    GameMessage { run: RUN, source: EventSource::Native, event }
}

fn queue(agent: bool) -> Arc<GameQueue> {
    let queue = Arc::new(GameQueue::default());
    queue.set_agent(agent);
    queue
}

fn ids(batch: &Batch) -> Vec<usize> {
    let id = |message: &GameMessage| match &message.event {
        GameEvent::PlayerLeft { id } => id.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    batch.messages.iter().map(id).collect()
}

fn out(queue: &GameQueue) -> (u64, Vec<usize>) {
    queue.out().map_or((0, Vec::new()), |batch| (batch.number, ids(&batch)))
}

#[tokio::test]
async fn a_call_is_evaluated_while_an_agent_is_there_and_no_batch_is_out() {
    let queue = queue(false);
    let mut early = Box::pin(queue.turn(CallKind::Ordinary));
    assert!(early.as_mut().now_or_never().is_none(), "nobody is there");
    queue.set_agent(true);
    let number = early.await.unwrap().say([message(1)]);
    assert_eq!((number, out(&queue)), (1, (1, vec![1])));
    let mut later = Box::pin(queue.turn(CallKind::Ordinary));
    assert!(later.as_mut().now_or_never().is_none(), "a batch is out");
    queue.set_agent(false);
    queue.acknowledge(1);
    assert!(later.as_mut().now_or_never().is_none(), "the agent has gone");
    queue.set_agent(true);
    assert_eq!(later.await.unwrap().say([message(2)]), 2);
    assert_eq!(queue.acknowledged(1).now_or_never(), Some(Ok(())));
    assert_eq!(queue.acknowledged(2).now_or_never(), None);
}

#[tokio::test]
async fn the_same_batch_is_out_until_it_is_acknowledged() {
    let queue = queue(true);
    queue.turn(CallKind::Ordinary).await.unwrap().say([message(1), message(2)]);
    let first = queue.out().unwrap();
    assert!(queue.post(message(3)));
    for agent in [false, true] {
        queue.set_agent(agent);
        assert_eq!(queue.out().unwrap(), first);
    }
    queue.acknowledge(0);
    assert_eq!(queue.out().unwrap(), first, "another number");
    queue.acknowledge(1);
    assert_eq!(out(&queue), (2, vec![3]));
    queue.acknowledge(2);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn an_agent_that_knows_less_than_the_last_one_is_told_again() {
    let queue = queue(true);
    for id in 1..=4 {
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(id)]);
        queue.acknowledge(id as u64);
    }
    queue.turn(CallKind::Ordinary).await.unwrap().say([message(5)]);
    queue.set_agent(false);
    for _ in 0..2 {
        queue.resume(2);
        assert_eq!((out(&queue), queue.owes()), ((3, vec![3]), Some(5)), "in their order");
    }
    queue.set_agent(true);
    assert!(queue.turn(CallKind::Ordinary).now_or_never().is_none(), "first the agent catches up");
    assert_eq!(queue.acknowledged(4).now_or_never(), Some(Ok(())), "it was, once");
    for number in 3..=5 {
        assert_eq!(out(&queue), (number, vec![number as usize]));
        queue.acknowledge(number);
    }
    assert!(queue.is_empty());
    queue.resume(5);
    assert_eq!((out(&queue).0, queue.owes()), (0, None));
    queue.resume(0);
    assert_eq!(out(&queue), (1, vec![1]), "to one that knows nothing, all of it");
}

#[tokio::test]
async fn only_so_much_is_kept_and_of_levels_the_newest() {
    let queue = queue(true);
    for measured in 1..=KEPT as u32 + 5 {
        let event = GameEvent::TickRate { measured: f64::from(measured), target: None };
        let level = GameMessage { event, ..message(0) };
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(measured as usize), level]);
        queue.acknowledge(u64::from(measured));
    }
    let kept = queue.kept();
    assert_eq!((kept.len(), kept[0].number), (KEPT, 6));
    let levels: Vec<_> = kept.iter().map(|batch| batch.messages.len()).collect();
    assert_eq!(levels, [vec![1; KEPT - 1], vec![2]].concat());
}

#[tokio::test]
async fn what_waited_goes_together_in_its_order_and_what_was_withdrawn_never_goes() {
    let queue = queue(false);
    let mut calls: Vec<_> = (0..100).map(|_| Box::pin(queue.turn(CallKind::Ordinary))).collect();
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    drop(calls.remove(1));
    assert!(queue.post(message(1000)));
    queue.set_agent(true);
    assert_eq!(out(&queue).0, 0, "the turns that were given are waited for");
    let mut evaluated = 0;
    for (at, mut call) in calls.into_iter().enumerate() {
        let Some(turn) = call.as_mut().now_or_never() else { continue };
        evaluated += 1;
        if at == 0 {
            drop(turn.unwrap());
        } else {
            turn.unwrap().say([message(at)]);
        }
    }
    assert_eq!(evaluated, BATCH + 1, "one gave its turn back");
    let (number, said) = out(&queue);
    assert_eq!((number, said.len(), said[0], said[1], said[64]), (1, BATCH + 1, 1000, 1, 64));
}

#[tokio::test(start_paused = true)]
async fn bounds_hold_and_a_game_that_ends_has_a_place() {
    let queue = queue(false);
    let mut calls: Vec<_> = (0..WAITING).map(|_| Box::pin(queue.turn(CallKind::Ordinary))).collect();
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    assert_eq!(queue.turn(CallKind::Ordinary).await.unwrap_err(), NotTaken::Full);
    let mut end = Box::pin(queue.turn(CallKind::End));
    assert!(end.as_mut().now_or_never().is_none());
    assert_eq!(queue.turn(CallKind::End).await.unwrap_err(), NotTaken::Full);
    drop(calls.pop());
    drop(calls.pop());
    let mut one_more = Box::pin(queue.turn(CallKind::Ordinary));
    assert!(one_more.as_mut().now_or_never().is_none(), "a place was given back");
    assert_eq!(one_more.await.unwrap_err(), NotTaken::NoAgent, "the time is up");
    let posted = (0..=POSTED).filter(|n| queue.post(message(*n))).count();
    assert_eq!(posted, POSTED);
}

#[test]
fn of_a_level_only_the_newest_goes() {
    let queue = queue(false);
    let ticks = |measured| {
        let event = GameEvent::TickRate { measured, target: None };
        GameMessage { run: RUN, source: EventSource::Native, event }
    };
    for second in 0..1000 {
        assert!(queue.post(ticks(f64::from(second))));
    }
    assert!(queue.post(message(1)) && queue.post(ticks(1.0)));
    queue.set_agent(true);
    assert_eq!(queue.out().unwrap().messages, [message(1), ticks(1.0)]);
}

#[tokio::test]
async fn at_the_runs_end_everything_is_evaluated_and_handed_over() {
    let queue = queue(true);
    queue.turn(CallKind::Ordinary).await.unwrap().say([message(1)]);
    queue.set_agent(false);
    let waiting = queue.turn(CallKind::End);
    let mut waiting = Box::pin(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(!queue.is_evaluated());
    queue.last_call();
    waiting.await.unwrap().say([message(2)]);
    queue.turn(CallKind::Ordinary).await.unwrap().say([message(3)]);
    assert!(queue.is_evaluated() && !queue.is_empty());
    let left: Vec<_> = queue.unacknowledged().iter().map(|batch| (batch.number, ids(batch))).collect();
    assert_eq!(left, [(1, vec![1]), (2, vec![2, 3])]);
    queue.acknowledge(1);
    let left: Vec<_> = queue.unacknowledged().iter().map(|batch| (batch.number, ids(batch))).collect();
    assert_eq!(left, [(2, vec![2, 3])]);
}

fn aside(text: &str) -> GameMessage {
    GameMessage { run: RUN, source: EventSource::Agones, event: GameEvent::KeepAside(Kept::from(text.to_owned())) }
}

fn known(text: Option<&str>) -> BTreeMap<EventSource, Kept> {
    text.map(|text| (EventSource::Agones, Kept::from(text.to_owned()))).into_iter().collect()
}

#[tokio::test]
async fn what_is_kept_aside_is_said_again_to_an_agent_that_has_lost_it_and_to_no_other() {
    for said_here in [true, false] {
        let queue = queue(true);
        queue.known_aside(RUN, &known(Some("of an earlier gateway")));
        assert_eq!(out(&queue).0, 0, "it has it from the agent");
        let mut newest = "of an earlier gateway";
        if said_here {
            newest = "newer";
            queue.turn(CallKind::Ordinary).await.unwrap().say([aside("old"), aside(newest)]);
            queue.acknowledge(1);
            for id in 0..2 * KEPT {
                let number = queue.turn(CallKind::Ordinary).await.unwrap().say([message(id)]);
                queue.acknowledge(number);
            }
        }
        for (agent_has, again) in [(Some(newest), false), (Some("older"), true), (None, true), (Some(newest), false)] {
            queue.known_aside(RUN, &known(agent_has));
            let batch = queue.out();
            assert_eq!(batch.as_ref().map(|batch| &batch.messages[..]), again.then(|| vec![aside(newest)]).as_deref());
            queue.acknowledge(u64::MAX);
        }
    }
}

#[tokio::test]
async fn what_is_under_way_is_newer_than_what_an_agent_knows() {
    let queue = queue(true);
    queue.turn(CallKind::Ordinary).await.unwrap().say([aside("under way")]);
    queue.set_agent(false);
    assert!(queue.post(aside("newest")));
    queue.resume(0);
    queue.known_aside(RUN, &known(Some("old")));
    queue.set_agent(true);
    let mut said = Vec::new();
    while let Some(batch) = queue.out() {
        said.extend(batch.messages.iter().cloned());
        queue.acknowledge(batch.number);
    }
    assert_eq!(said, [aside("under way"), aside("newest")]);
}
