//! Which sessions a search finds, and in which order.
//!
//! | comparison | true when |
//! |---|---|
//! | `eq`, `gt`, `gte`, `lt`, `lte` | the session has the setting, and it compares so |
//! | `ne` | it has another value, or none |
//! | `in` / `not_in` | its value is / isn't one of the list; a session without the setting is never in a list |
//! | `near` | always; nearest first, without a number last |
//!
//! Best first: by every `near` in turn, then the fuller session, then the older one. Two values
//! that both read as numbers are compared as numbers (whole ones exactly, whatever their size),
//! others as text.

use super::record::SessionRecord;
use crate::model::{
    discovery::{Comparison, Filter, SessionSearch},
    ids::{PlayerUuid, SessionId},
};
use serde_json::Value;
use std::cmp::Ordering;

/// How many sessions a search finds unless it says otherwise.
const USUAL_RESULTS: u32 = 50;

/// A search whose values were checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct CheckedSearch {
    pub kind: Option<String>,
    pub region: Option<String>,
    pub conditions: Vec<Condition>,
    pub player: Option<PlayerUuid>,
    pub session: Option<SessionId>,
    pub lan: Option<bool>,
    pub is_listed: Option<bool>,
    pub allow_new_members: Option<bool>,
    pub most: usize,
}

/// One filter. `values` has one value, but for `in` and `not_in`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub key: String,
    pub comparison: Comparison,
    pub values: Vec<Scalar>,
}

/// Text that may read as a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    text: String,
    number: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Whole(i128),
    Fraction(f64),
}

impl Number {
    fn read(text: &str) -> Option<Number> {
        if let Ok(whole) = text.parse::<i128>() {
            return Some(Number::Whole(whole));
        }
        // Words such as "inf" are text.
        text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Number::Fraction)
    }
    fn float(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Fraction(number) => number,
        }
    }
    fn order(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(one), Number::Whole(two)) => one.cmp(&two),
            (one, two) => one.float().total_cmp(&two.float()),
        }
    }
}

impl Scalar {
    pub(crate) fn new(text: impl Into<String>) -> Scalar {
        let text = text.into();
        Scalar { number: Number::read(&text), text }
    }
    fn order(&self, other: &Scalar) -> Ordering {
        match (self.number, other.number) {
            (Some(one), Some(two)) => one.order(two),
            _ => self.text.cmp(&other.text),
        }
    }
}

impl Condition {
    fn of(filter: Filter) -> Condition {
        let scalar = |value: Value| match value {
            Value::String(text) => Scalar::new(text),
            other => Scalar::new(other.to_string()),
        };
        let values = match filter.value {
            Value::Array(values) => values.into_iter().map(scalar).collect(),
            one => vec![scalar(one)],
        };
        Condition { key: filter.key, comparison: filter.comparison, values }
    }

    fn holds(&self, session: &SessionRecord) -> bool {
        let found = setting(session, &self.key);
        let orders = |wanted: &[Ordering]| match (&found, self.values.first()) {
            (Some(found), Some(value)) => wanted.contains(&found.order(value)),
            _ => false,
        };
        let listed = || {
            found.as_ref().is_some_and(|found| self.values.iter().any(|value| found.order(value) == Ordering::Equal))
        };
        match self.comparison {
            Comparison::Eq => orders(&[Ordering::Equal]),
            Comparison::Ne => !orders(&[Ordering::Equal]),
            Comparison::Gt => orders(&[Ordering::Greater]),
            Comparison::Gte => orders(&[Ordering::Greater, Ordering::Equal]),
            Comparison::Lt => orders(&[Ordering::Less]),
            Comparison::Lte => orders(&[Ordering::Less, Ordering::Equal]),
            Comparison::In => listed(),
            Comparison::NotIn => !listed(),
            Comparison::Near => true,
        }
    }

    /// How far away the session is.
    fn distance(&self, session: &SessionRecord) -> f64 {
        let number = |scalar: &Scalar| scalar.number.map(Number::float);
        let found = setting(session, &self.key).as_ref().and_then(number);
        match (found, self.values.first().and_then(number)) {
            (Some(found), Some(value)) => (found - value).abs(),
            _ => f64::INFINITY,
        }
    }
}

/// The session's own setting, else its listing's.
fn setting(session: &SessionRecord, key: &str) -> Option<Scalar> {
    let listed = || session.browser.as_ref().and_then(|browser| browser.custom_data.get(key));
    session.custom_data.get(key).or_else(listed).map(Scalar::new)
}

impl CheckedSearch {
    /// A search as it was asked for.
    pub(crate) fn of(search: SessionSearch) -> CheckedSearch {
        CheckedSearch {
            kind: search.session_type,
            region: search.region_id,
            conditions: search.filters.into_iter().map(Condition::of).collect(),
            player: search.player_uuid,
            session: search.session_id,
            lan: search.lan,
            is_listed: search.is_listed,
            allow_new_members: search.allow_new_members,
            most: search.max_results.unwrap_or(USUAL_RESULTS) as usize,
        }
    }

    /// Whether everything that was asked for is true of a session.
    pub(crate) fn fits(&self, session: &SessionRecord) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == session.session_type)
            && self.region.as_ref().is_none_or(|region| session.region_id.as_ref() == Some(region))
            && self.session.as_ref().is_none_or(|id| *id == session.id)
            && self.player.is_none_or(|player| session.is_active(player))
            && self.lan.is_none_or(|lan| lan == session.lan)
            && self.is_listed.is_none_or(|listed| listed == session.browser.is_some())
            && self.allow_new_members.is_none_or(|takes| takes == session.allow_new_members)
            && self.conditions.iter().all(|condition| condition.holds(session))
    }

    /// Which of two sessions that fit is better: the lesser.
    pub(crate) fn better(&self, one: &SessionRecord, two: &SessionRecord) -> Ordering {
        let near = self.conditions.iter().filter(|condition| condition.comparison == Comparison::Near);
        let nearer = near.map(|condition| condition.distance(one).total_cmp(&condition.distance(two)));
        let fuller = || two.active().count().cmp(&one.active().count());
        nearer.fold(Ordering::Equal, Ordering::then).then_with(fuller).then(one.number.cmp(&two.number))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::testing::session, *};
    use crate::model::{player::PlayerStatus::Leader, session::BrowserInfo};

    fn with(number: u64, settings: &[(&str, &str)]) -> SessionRecord {
        let mut made = session(&[(4, &[])]);
        made.number = number;
        made.custom_data = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        made
    }

    fn condition(comparison: Comparison, values: &[&str]) -> Condition {
        let values = values.iter().map(|text| Scalar::new(*text)).collect();
        Condition { key: "k".into(), comparison, values }
    }

    #[test]
    fn every_comparison_on_numbers_on_text_and_on_a_missing_setting() {
        use Comparison::{Eq, Gt, Gte, In, Lt, Lte, Ne, Near, NotIn};
        let rows: [(Comparison, &[&str], [bool; 4]); 11] = [
            // The session's setting:      "9", "10", "beta", none
            (Eq, &["10.0"], [false, true, false, false]),
            (Ne, &["10"], [true, false, true, true]),
            (Gt, &["9"], [false, true, true, false]),
            (Gte, &["9"], [true, true, true, false]),
            (Lt, &["10"], [true, false, false, false]),
            (Lte, &["10"], [true, true, false, false]),
            (In, &["9", "beta"], [true, false, true, false]),
            (NotIn, &["9", "beta"], [false, true, false, true]),
            (Near, &["10"], [true, true, true, true]),
            (Eq, &["beta"], [false, false, true, false]),
            (Lt, &["alpha"], [true, true, false, false]),
        ];
        let sessions = [with(1, &[("k", "9")]), with(2, &[("k", "10")]), with(3, &[("k", "beta")]), with(4, &[])];
        for (comparison, values, expected) in rows {
            let wanted = CheckedSearch { conditions: vec![condition(comparison, values)], ..CheckedSearch::default() };
            assert_eq!(sessions.each_ref().map(|session| wanted.fits(session)), expected, "{comparison:?} {values:?}");
        }
    }

    #[test]
    fn whole_numbers_of_any_size_are_compared_exactly() {
        let wanted = CheckedSearch {
            conditions: vec![condition(Comparison::Eq, &["76561198000000001"])],
            ..CheckedSearch::default()
        };
        assert!(wanted.fits(&with(1, &[("k", "76561198000000001")])));
        assert!(!wanted.fits(&with(1, &[("k", "76561198000000002")])));
    }

    #[test]
    fn near_orders_then_the_fuller_then_the_older_comes_first() {
        let mut full = with(5, &[("k", "100")]);
        full.teams = session(&[(4, &[(1, Leader)])]).teams;
        let sessions =
            [with(1, &[]), with(2, &[("k", "130")]), with(3, &[("k", "100")]), with(4, &[("k", "100")]), full];
        let wanted =
            CheckedSearch { conditions: vec![condition(Comparison::Near, &["110"])], ..CheckedSearch::default() };
        let mut order: Vec<&SessionRecord> = sessions.iter().collect();
        order.sort_by(|one, two| wanted.better(one, two));
        assert_eq!(order.iter().map(|session| session.number).collect::<Vec<_>>(), [5, 3, 4, 2, 1]);
    }

    #[test]
    fn a_listing_s_data_is_searched_where_the_session_has_no_such_setting() {
        let mut listed = with(1, &[("k", "own")]);
        let data = [("k".to_owned(), "listed".to_owned()), ("map".to_owned(), "dm1".to_owned())];
        listed.browser = Some(BrowserInfo { custom_data: data.into(), created_timestamp: None });
        let of = |key: &str, value: &str| CheckedSearch {
            conditions: vec![Condition { key: key.into(), ..condition(Comparison::Eq, &[value]) }],
            ..CheckedSearch::default()
        };
        assert!(of("map", "dm1").fits(&listed));
        assert!(of("k", "own").fits(&listed) && !of("k", "listed").fits(&listed));
    }
}
