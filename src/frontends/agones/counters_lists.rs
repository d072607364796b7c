//! Counters and lists: their rules, one item at a time.
//!
//! | call | rule |
//! |---|---|
//! | counter update | capacity first (0 or more; a higher count is cut to it), then the count, then the difference; outside `[0, capacity]` nothing changes |
//! | list update | values first (duplicates dropped), then the capacity, 0 to [`MAX_LIST`]; what doesn't fit is cut off |
//! | add, remove | a duplicate, a full list, a value that isn't there are errors |

use super::{
    error::{Code, RpcError},
    proto,
};
use serde::{Deserialize, Serialize};

/// The largest capacity of a list.
pub(crate) const MAX_LIST: i64 = 1000;
/// The longest value of a list, in characters.
const MAX_VALUE: usize = 256;

/// A number with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counter {
    pub count: i64,
    pub capacity: i64,
}

impl Counter {
    pub fn update(self, name: &str, update: &proto::CounterUpdate) -> Result<Self, RpcError> {
        let mut new = self;
        let outside = |what: &str, value: i64, capacity: i64| {
            let message = format!("counter {name:?}: {what} {value}, which is outside [0, {capacity}]");
            RpcError::new(Code::OutOfRange, message)
        };
        if let Some(capacity) = update.capacity.map(|capacity| capacity.value) {
            if capacity < 0 {
                let message = format!("counter {name:?}: the capacity must be 0 or more, found {capacity}");
                return Err(RpcError::new(Code::OutOfRange, message));
            }
            new = Counter { count: new.count.min(capacity), capacity };
        }
        if let Some(count) = update.count.map(|count| count.value) {
            if !(0..=new.capacity).contains(&count) {
                return Err(outside("the count is", count, new.capacity));
            }
            new.count = count;
        }
        let count = new.count.saturating_add(update.count_diff);
        if update.count_diff != 0 && !(0..=new.capacity).contains(&count) {
            return Err(outside("the count would be", count, new.capacity));
        }
        Ok(Counter { count, ..new })
    }
}

/// Values with a limit to their number, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct List {
    pub capacity: i64,
    pub values: Vec<String>,
}

/// Which parts of a list an update means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListParts {
    pub capacity: bool,
    pub values: bool,
}

impl ListParts {
    /// A field mask. An empty one means the capacity: what the Node client sends to set it.
    pub fn from_mask(mask: &[String]) -> Result<Self, RpcError> {
        let mut parts = ListParts { capacity: mask.is_empty(), values: false };
        for path in mask {
            match path.as_str() {
                "capacity" => parts.capacity = true,
                "values" => parts.values = true,
                "name" => {}
                other => {
                    let message = format!("update_mask names {other:?}; a list has capacity and values");
                    return Err(RpcError::invalid(message));
                }
            }
        }
        Ok(parts)
    }
}

impl List {
    pub fn update(&self, name: &str, update: &proto::List, parts: ListParts) -> Result<Self, RpcError> {
        let mut new = self.clone();
        if parts.capacity {
            if !(0..=MAX_LIST).contains(&update.capacity) {
                let message = format!("list {name:?}: the capacity must be 0 to {MAX_LIST}, found {}", update.capacity);
                return Err(RpcError::new(Code::OutOfRange, message));
            }
            new.capacity = update.capacity;
        }
        if parts.values {
            new.values.clear();
            for value in &update.values {
                check_value(value)?;
                if !new.values.contains(value) {
                    new.values.push(value.clone());
                }
            }
        }
        new.values.truncate(usize::try_from(new.capacity).unwrap_or(0));
        Ok(new)
    }

    pub fn add(&self, name: &str, value: &str) -> Result<Self, RpcError> {
        check_value(value)?;
        if self.values.iter().any(|known| known == value) {
            return Err(RpcError::new(Code::AlreadyExists, format!("list {name:?} already has {value:?}")));
        }
        if self.values.len() as i64 >= self.capacity {
            let message = format!("list {name:?} is full: its capacity is {}", self.capacity);
            return Err(RpcError::new(Code::OutOfRange, message));
        }
        let mut new = self.clone();
        new.values.push(value.to_owned());
        Ok(new)
    }

    pub fn remove(&self, name: &str, value: &str) -> Result<Self, RpcError> {
        let mut new = self.clone();
        new.values.retain(|known| known != value);
        if new.values.len() == self.values.len() {
            return Err(RpcError::new(Code::NotFound, format!("list {name:?} has no {value:?}")));
        }
        Ok(new)
    }
}

fn check_value(value: &str) -> Result<(), RpcError> {
    let length = value.chars().count();
    if (1..=MAX_VALUE).contains(&length) {
        return Ok(());
    }
    Err(RpcError::invalid(format!("a list's value must have 1 to {MAX_VALUE} characters, found {length}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(capacity: Option<i64>, count: Option<i64>, count_diff: i64) -> proto::CounterUpdate {
        let wrap = |value: Option<i64>| value.map(|value| proto::Int64Value { value });
        proto::CounterUpdate { name: String::new(), count: wrap(count), capacity: wrap(capacity), count_diff }
    }

    #[test]
    fn a_counter_takes_capacity_count_and_difference_in_this_order_or_nothing() {
        let rooms = Counter { count: 1, capacity: 10 };
        let count = |update: proto::CounterUpdate| {
            rooms.update("rooms", &update).map(|new| (new.count, new.capacity)).map_err(|error| error.code)
        };
        assert_eq!(count(update(None, None, 9)), Ok((10, 10)));
        assert_eq!(count(update(None, None, 10)), Err(Code::OutOfRange));
        assert_eq!(count(update(None, None, -1)), Ok((0, 10)));
        assert_eq!(count(update(None, None, -2)), Err(Code::OutOfRange));
        assert_eq!(count(update(Some(20), Some(15), 5)), Ok((20, 20)));
        assert_eq!(count(update(Some(0), None, 0)), Ok((0, 0)));
        assert_eq!(count(update(Some(-1), None, 0)), Err(Code::OutOfRange));
        assert_eq!(count(update(None, Some(11), 0)), Err(Code::OutOfRange));
        assert_eq!(count(update(None, Some(11), -5)), Err(Code::OutOfRange));
        assert_eq!(count(update(None, None, i64::MAX)), Err(Code::OutOfRange));
        assert_eq!(count(update(None, None, i64::MIN)), Err(Code::OutOfRange));
    }

    fn list(capacity: i64, values: &[&str]) -> List {
        List { capacity, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn a_list_is_cut_to_its_capacity_and_has_no_value_twice() {
        let players = list(100, &["a", "b", "c"]);
        let update = |capacity, values: &[&str], mask: &[&str]| {
            let mask: Vec<_> = mask.iter().map(|path| (*path).to_owned()).collect();
            let update = proto::List { capacity, values: list(0, values).values, ..proto::List::default() };
            ListParts::from_mask(&mask)
                .and_then(|parts| players.update("players", &update, parts))
                .map_err(|error| error.code)
        };
        assert_eq!(update(2, &[], &["capacity"]), Ok(list(2, &["a", "b"])));
        assert_eq!(update(2, &["x"], &[]), Ok(list(2, &["a", "b"])));
        assert_eq!(update(0, &["x", "y", "x"], &["values", "name"]), Ok(list(100, &["x", "y"])));
        assert_eq!(update(1, &["x", "y"], &["values", "capacity"]), Ok(list(1, &["x"])));
        assert_eq!(update(1001, &[], &["capacity"]), Err(Code::OutOfRange));
        assert_eq!(update(1, &[], &["colour"]), Err(Code::InvalidArgument));
        assert_eq!(update(1, &[""], &["values"]), Err(Code::InvalidArgument));
    }

    #[test]
    fn adding_and_removing_say_what_is_in_the_way() {
        let players = list(2, &["a"]);
        assert_eq!(players.add("players", "b"), Ok(list(2, &["a", "b"])));
        assert_eq!(players.add("players", "a").unwrap_err().code, Code::AlreadyExists);
        assert_eq!(list(1, &["a"]).add("players", "b").unwrap_err().code, Code::OutOfRange);
        assert_eq!(players.remove("players", "a"), Ok(list(2, &[])));
        assert_eq!(players.remove("players", "b").unwrap_err().code, Code::NotFound);
    }
}
