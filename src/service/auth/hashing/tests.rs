use super::*;
use crate::service::http::reply::Interrupt;
use futures_util::FutureExt as _;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

#[tokio::test]
async fn so_many_hashes_at_a_time_as_there_are_cores_and_no_more_than_the_queue_holds() {
    let hashing = Arc::new(Hashing::new(2, 4));
    let (going, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begun, begins) = mpsc::channel();
    let mut gates = Vec::new();
    let mut working = Vec::new();
    for _ in 0..4 {
        let (gate, opened) = mpsc::channel::<()>();
        gates.push(gate);
        let (going, most, begun, hashing) = (going.clone(), most.clone(), begun.clone(), hashing.clone());
        let work = move || {
            most.fetch_max(going.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            begun.send(()).unwrap();
            // Until its gate is dropped.
            let _ = opened.recv();
            going.fetch_sub(1, Ordering::SeqCst);
        };
        working.push(tokio::spawn(async move { hashing.password(work).await }));
    }
    let begins = spawn_blocking(move || {
        begins.recv().unwrap();
        begins.recv().unwrap();
        begins
    });
    let _begins = begins.await.unwrap();
    let fifth = Box::pin(hashing.password(|| ())).now_or_never();
    let Some(Err(Interrupt::Refused(refused))) = fifth else { panic!("a fifth was taken: {fifth:?}") };
    assert_eq!((refused.status, refused.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
    assert_eq!(hashing.log_in(|| 7).await, Some(7), "logins have places of their own");
    drop(gates);
    for work in working {
        work.await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn work_that_nobody_waits_for_any_more_keeps_its_place() {
    let hashing = Hashing::new(1, 4);
    let (gate, opened) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let work = move || {
        begun.send(()).unwrap();
        let _ = opened.recv();
    };
    let mut waiting = Box::pin(hashing.password(work));
    assert!(waiting.as_mut().now_or_never().is_none());
    let begins = spawn_blocking(move || begins.recv().map(|()| begins)).await.unwrap().unwrap();
    drop(waiting);
    assert!(Box::pin(hashing.password(|| ())).as_mut().now_or_never().is_none(), "two at a time");
    drop(gate);
    hashing.password(|| ()).await.unwrap();
    drop(begins);
}

#[test]
fn who_is_wrong_too_often_is_put_off_and_nobody_else() {
    let hashing = Hashing::new(1, 1);
    let at = |seconds: u64| Instant(Duration::from_secs(1000 + seconds));
    let tried = |who: &str, hash: &str, seconds| hashing.try_password(who, hash, at(seconds)).is_ok();
    assert_eq!([0; 6].map(|now| tried("player:a", "s", now)), [true, true, true, true, true, false]);
    assert!(tried("player:b", "s", 0) && tried("player:a", "t", 0), "another player, another session");
    assert!(!tried("player:a", "s", 9) && tried("player:a", "s", 10) && !tried("player:a", "s", 10));
    hashing.right_password("player:a", "s");
    assert!(tried("player:a", "s", 10));
    let from = |last| Some(IpAddr::from([10, 0, 0, last]));
    let wrong = |from| hashing.wrong_secret("servers", from, at(0));
    assert!((0..20).all(|_| wrong(from(1)).is_ok()));
    let Err(Interrupt::Refused(refused)) = wrong(from(1)) else { panic!("never put off") };
    assert_eq!((refused.status.as_u16(), refused.retry_after, refused.auth_success), (429, Some(1), false));
    assert!(wrong(from(2)).is_ok() && wrong(None).is_ok(), "another source");
}
