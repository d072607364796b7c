//! How fast a caller may ask: a bucket that fills at its rate up to the burst.
//!
//! | who | bucket | rate |
//! |---|---|---|
//! | a player | the player's | `requests_per_second` |
//! | a client, about a session that it hosts as a registered server | the client's for that server | `server_requests_per_second` |
//! | a client, else | the client's | `client_requests_per_second` |
//! | anybody without a good token; everybody with `--dev` | none | |
//!
//! | operation | refused with |
//! |---|---|
//! | creates, invites or searches | 429 |
//! | of a registration; removes; about a live instance, by its host; login, probes, documents | never |
//! | any other | 503 |
//!
//! Invariants: addresses count for nothing here, since many players and servers may share one; a
//! refusal says when to come again. Memory is bounded: above so many callers, those that asked
//! least lately are forgotten.

use super::{
    reply::{Outcome, Refused, too_many_requests, unavailable},
    route::{Access, Row},
};
use crate::{
    model::time::Instant,
    net::rate::{Buckets, Rate},
    service::{
        auth::Caller,
        settings::{Limits, ServiceSettings},
    },
};
use http::Method;

/// Callers remembered at a time.
const REMEMBERED: usize = 65_536;
/// So many seconds of its rate a client may ask for at once: a fleet that starts.
const CLIENT_BURST: f64 = 10.0;

/// The callers' buckets.
#[derive(Debug)]
pub struct RateLimiter(Buckets);

impl Default for RateLimiter {
    fn default() -> Self {
        RateLimiter(Buckets::new(REMEMBERED))
    }
}

/// What becomes of a request that comes too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It is never refused.
    Free,
    /// It is never refused to the host of a live instance; to others 503.
    FreeForHost,
    /// 429.
    Refused,
    /// 503.
    Unavailable,
}

/// Operations that create, invite or search.
const REFUSED: [&str; 6] = [
    "create_or_join_session",
    "start_matchmaking",
    "invite_player_by_uuid_v2",
    "invite_session_to_session",
    "search_sessions",
    "get_browser_sessions_by_type",
];
/// What the host of a live instance must get through.
const OF_HOSTS: [&str; 5] = [
    "create_instance_request",
    "update_instance_info",
    "instance_health_check",
    "acknowledge_backfill_request",
    "update_backfill_request",
];
const OF_REGISTRATIONS: [&str; 4] = ["sic_register", "sic_state", "sic_deregister", "sic_release"];

impl Pace {
    pub(crate) fn of(row: &Row) -> Pace {
        let free = matches!(row.access, Access::Nothing) || row.method == Method::DELETE;
        match row.operation {
            operation if free || OF_REGISTRATIONS.contains(&operation) => Pace::Free,
            operation if OF_HOSTS.contains(&operation) => Pace::FreeForHost,
            operation if REFUSED.contains(&operation) => Pace::Refused,
            _ => Pace::Unavailable,
        }
    }
}

/// The part that a caller has in the session that its request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hosting {
    No,
    /// It hosts the live instance, as the registered server of this id.
    Live(Option<String>),
}

impl RateLimiter {
    /// Counts a request, or refuses it. `hosting` is asked only where it matters.
    pub(crate) fn admit(
        &self,
        row: &Row,
        caller: &Caller,
        hosting: impl FnOnce() -> Hosting,
        settings: &ServiceSettings,
        now: Instant,
    ) -> Outcome<()> {
        let pace = Pace::of(row);
        if pace == Pace::Free || settings.auth.dev {
            return Ok(());
        }
        let hosting = if caller.player.is_none() || pace == Pace::FreeForHost { hosting() } else { Hosting::No };
        let server = match hosting {
            Hosting::Live(_) if pace == Pace::FreeForHost => return Ok(()),
            Hosting::Live(server) => server.filter(|_| caller.player.is_none()),
            Hosting::No => None,
        };
        let rate = rate(caller, server.as_deref(), &settings.limits);
        if rate.per_second == 0.0 {
            return Ok(());
        }
        self.0.take((&caller.subject, server), rate, now).map_err(|seconds| {
            let desc = format!("more than {} requests a second; come again in {seconds} s", rate.per_second);
            match pace {
                Pace::Refused => Refused::into(too_many_requests(desc, seconds)),
                Pace::Free | Pace::FreeForHost | Pace::Unavailable => unavailable(desc, seconds),
            }
        })
    }
}

fn rate(caller: &Caller, server: Option<&str>, limits: &Limits) -> Rate {
    let per_second = match server {
        _ if caller.player.is_some() => limits.requests_per_second,
        Some(_) => limits.server_requests_per_second,
        None => {
            let per_second = f64::from(limits.client_requests_per_second);
            return Rate { per_second, burst: per_second * CLIENT_BURST };
        }
    };
    Rate { per_second: f64::from(per_second), burst: f64::from(limits.request_burst) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            reply::Interrupt,
            route::{Found, Router},
        },
        *,
    };
    use crate::service::{
        ops,
        state::testing::{player, server},
    };
    use std::{collections::BTreeMap, time::Duration};

    fn at(millis: u64) -> Instant {
        Instant(Duration::from_millis(1_000_000 + millis))
    }
    fn row(operation: &str) -> &'static Row {
        ops::tables().into_iter().flatten().find(|row| row.operation == operation).unwrap()
    }
    fn settings(limits: Limits) -> ServiceSettings {
        ServiceSettings { limits, ..ServiceSettings::default() }
    }
    fn hosts(server: &str) -> Hosting {
        Hosting::Live(Some(server.to_owned()))
    }

    #[test]
    fn a_burst_then_the_rate_each_caller_for_itself() {
        let settings = settings(Limits {
            requests_per_second: 2,
            server_requests_per_second: 1,
            client_requests_per_second: 1,
            request_burst: 3,
            ..Limits::default()
        });
        let limiter = RateLimiter::default();
        let read = row("get_session_by_id");
        let admitted = |who: &Caller, hosting: Hosting, millis| {
            limiter.admit(read, who, || hosting, &settings, at(millis)).is_ok()
        };
        let (ann, bob, fleet) = (player("ann"), player("bob"), server("fleet"));
        assert_eq!([0; 4].map(|_| admitted(&ann, Hosting::No, 0)), [true, true, true, false]);
        assert!(!admitted(&ann, hosts("s"), 0), "a player has one bucket");
        assert!(admitted(&bob, Hosting::No, 0), "another player");
        assert!(!admitted(&ann, Hosting::No, 250) && admitted(&ann, Hosting::No, 500));
        assert_eq!([0; 4].map(|_| admitted(&fleet, hosts("one"), 0)), [true, true, true, false]);
        assert!(admitted(&fleet, hosts("two"), 0), "another server of the same client");
        assert_eq!([0; 11].map(|_| admitted(&fleet, Hosting::No, 0)).iter().filter(|good| **good).count(), 10);
        assert!(admitted(&fleet, hosts("two"), 0), "a server's rate is its own");
        assert!(admitted(&server("other"), Hosting::No, 0), "another client");
    }

    #[test]
    fn every_operation_is_refused_as_it_may_be() {
        let settings = settings(Limits {
            requests_per_second: 1,
            client_requests_per_second: 1,
            request_burst: 1,
            ..Limits::default()
        });
        let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in ops::tables().into_iter().flatten() {
            for (who, hosting) in [(player("ann"), Hosting::No), (server("s"), Hosting::No), (server("s"), hosts("s"))]
            {
                let limiter = RateLimiter::default();
                let settings = ServiceSettings {
                    limits: Limits { server_requests_per_second: 1, ..settings.limits.clone() },
                    ..settings.clone()
                };
                let answer = (0..30).find_map(|_| limiter.admit(row, &who, || hosting.clone(), &settings, at(0)).err());
                let (hosted, said) = (
                    hosting != Hosting::No,
                    match answer {
                        None => "free",
                        Some(Interrupt::Refused(no)) if no.status == 429 && no.retry_after == Some(1) => "429",
                        Some(Interrupt::Refused(no)) if no.status == 503 && no.retry_after == Some(1) => "503",
                        Some(other) => panic!("{row:?}: {other:?}"),
                    },
                );
                let never = row.method == Method::DELETE
                    || row.path.starts_with("/instances/")
                    || matches!(row.access, Access::Nothing);
                let of_instance = !matches!(row.method, Method::GET | Method::PUT)
                    && (row.path.contains("/instance") || row.path.contains("/backfill/session/"));
                let expected = match row.operation {
                    _ if never || (hosted && of_instance) => "free",
                    operation if REFUSED.contains(&operation) => "429",
                    _ => "503",
                };
                assert_eq!(said, expected, "{row:?} {hosting:?}");
                let all = seen.entry(said).or_default();
                if !all.contains(&row.operation) {
                    all.push(row.operation);
                }
            }
        }
        assert_eq!(seen["429"].len(), REFUSED.len());
        let router = Router::new(&ops::tables());
        assert!(
            matches!(router.find(&Method::POST, "/users/v1/login"), Found::Row(login, _) if Pace::of(login) == Pace::Free)
        );
    }

    #[test]
    fn nobody_is_limited_for_a_developer() {
        let mut settings = settings(Limits { requests_per_second: 1, request_burst: 1, ..Limits::default() });
        let limiter = RateLimiter::default();
        let ask = |settings: &ServiceSettings| {
            limiter.admit(row("search_sessions"), &player("ann"), || Hosting::No, settings, at(0)).is_ok()
        };
        settings.auth.dev = true;
        assert!((0..100).all(|_| ask(&settings)));
        settings.auth.dev = false;
        assert_eq!([(); 2].map(|()| ask(&settings)), [true, false]);
    }

    /// What the busiest clients that we know of do, for ten minutes.
    #[test]
    fn a_busy_caller_never_meets_the_rates_that_are_the_default() {
        let settings = ServiceSettings::default();
        let limiter = RateLimiter::default();
        let ask = |who: &Caller, hosting: Hosting, operation, millis| {
            limiter.admit(row(operation), who, || hosting, &settings, at(millis)).unwrap();
        };
        let (ann, fleet) = (player("ann"), server("fleet"));
        // A fleet of 10,000 that starts at once: each reads three settings, and makes a session.
        for _ in 0..10_000 {
            ask(&fleet, Hosting::No, "instance_health_config", 0);
        }
        for _ in 0..10_000 {
            ask(&fleet, Hosting::No, "create_or_join_session", 1000);
        }
        for second in 0..600 {
            // A player with five sessions looks at each twice a second, searches, and changes one.
            for part in 0..10 {
                ask(&ann, Hosting::No, "get_session_by_id", second * 1000 + part * 100);
            }
            ask(&ann, Hosting::No, "search_sessions", second * 1000 + 950);
            ask(&ann, Hosting::No, "update_session_by_id", second * 1000 + 960);
            // A server to which a hundred players come at once.
            if second % 10 == 0 {
                for _ in 0..100 {
                    ask(&fleet, hosts("s"), "update_session_player_by_uuid_v2", second * 1000 + 970);
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_who_asks_often_is_not_forgotten() {
        let settings = settings(Limits { requests_per_second: 1, request_burst: 2, ..Limits::default() });
        let limiter = RateLimiter::default();
        let ask = |subject: String| {
            let who = Caller { subject, ..player("ann") };
            limiter.admit(row("search_sessions"), &who, || Hosting::No, &settings, at(0))
        };
        let busy = || ask("player:busy".to_owned());
        assert!(busy().is_ok() && busy().is_ok());
        for n in 0..2 * REMEMBERED {
            ask(format!("player:{n}")).unwrap();
            assert!(n % 100 != 0 || busy().is_err(), "forgotten behind {n} others");
        }
        let callers = limiter.0.len();
        assert!((REMEMBERED / 2..=REMEMBERED * 11 / 10).contains(&callers), "{callers}");
    }
}
