//! The order in which the types declare their keys. A JSON schema sorts them by name; a reader
//! wants them as they were thought. Learned by serialising a value and writing down only the names.

use serde::ser::{self, Impossible, Serialize, Serializer};
use std::fmt;

/// The keys of a value, in order, each with those below it. Empty for anything but a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FieldOrder(Vec<(String, FieldOrder)>);

impl FieldOrder {
    /// The order in `sample`. What it has no value for has no order either.
    pub(crate) fn of<T: Serialize>(sample: &T) -> Self {
        sample.serialize(Recorder).unwrap_or_default()
    }

    /// The order below a key; below any key of a map or element of a list, that of the first.
    pub(crate) fn below(&self, key: &str) -> &FieldOrder {
        const NONE: &FieldOrder = &FieldOrder(Vec::new());
        let named = self.0.iter().find(|(name, _)| name == key);
        named.or(self.0.iter().find(|(name, _)| name.is_empty())).map_or(NONE, |(_, order)| order)
    }

    /// Sorts keys: the known ones as declared, then the others by name.
    pub(crate) fn sort<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut keys: Vec<_> = keys.collect();
        let position = |key: &str| self.0.iter().position(|(name, _)| name == key).unwrap_or(usize::MAX);
        keys.sort_by(|left, right| (position(left), left).cmp(&(position(right), right)));
        keys
    }
}

/// Never happens: nothing that is recorded can fail.
#[derive(Debug)]
struct Unrecordable;

impl fmt::Display for Unrecordable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("can't be recorded")
    }
}
impl std::error::Error for Unrecordable {}
impl ser::Error for Unrecordable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unrecordable
    }
}

struct Recorder;
type Recorded = Result<FieldOrder, Unrecordable>;

/// Names of a struct, or (without a name) the first element of a list or value of a map.
#[derive(Default)]
struct Children(Vec<(String, FieldOrder)>);

impl Children {
    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unrecordable> {
        self.0.push((name.to_owned(), value.serialize(Recorder)?));
        Ok(())
    }
}

macro_rules! leaf {
    ($($method:ident($type:ty)),*) => { $(fn $method(self, _: $type) -> Recorded { Ok(FieldOrder::default()) })* };
}

impl Serializer for Recorder {
    type Ok = FieldOrder;
    type Error = Unrecordable;
    type SerializeSeq = Children;
    type SerializeTuple = Children;
    type SerializeTupleStruct = Impossible<FieldOrder, Unrecordable>;
    type SerializeTupleVariant = Impossible<FieldOrder, Unrecordable>;
    type SerializeMap = Children;
    type SerializeStruct = Children;
    type SerializeStructVariant = Impossible<FieldOrder, Unrecordable>;

    leaf!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str)
    );
    fn serialize_none(self) -> Recorded {
        Ok(FieldOrder::default())
    }
    fn serialize_unit(self) -> Recorded {
        Ok(FieldOrder::default())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Recorded {
        Ok(FieldOrder::default())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Recorded {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Recorded {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Recorded {
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Children, Unrecordable> {
        Ok(Children::default())
    }
    fn serialize_tuple(self, _: usize) -> Result<Children, Unrecordable> {
        Ok(Children::default())
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Children, Unrecordable> {
        Ok(Children::default())
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Children, Unrecordable> {
        Ok(Children::default())
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unrecordable> {
        Err(Unrecordable)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unrecordable> {
        Err(Unrecordable)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unrecordable> {
        Err(Unrecordable)
    }
}

impl ser::SerializeStruct for Children {
    type Ok = FieldOrder;
    type Error = Unrecordable;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unrecordable> {
        self.add(key, value)
    }
    fn skip_field(&mut self, key: &'static str) -> Result<(), Unrecordable> {
        self.add(key, &())
    }
    fn end(self) -> Recorded {
        Ok(FieldOrder(self.0))
    }
}

impl ser::SerializeMap for Children {
    type Ok = FieldOrder;
    type Error = Unrecordable;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Unrecordable> {
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unrecordable> {
        self.add("", value)
    }
    fn end(self) -> Recorded {
        Ok(FieldOrder(self.0))
    }
}

impl ser::SerializeSeq for Children {
    type Ok = FieldOrder;
    type Error = Unrecordable;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unrecordable> {
        self.add("", value)
    }
    fn end(self) -> Recorded {
        Ok(FieldOrder(self.0))
    }
}

impl ser::SerializeTuple for Children {
    type Ok = FieldOrder;
    type Error = Unrecordable;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unrecordable> {
        self.add("", value)
    }
    fn end(self) -> Recorded {
        Ok(FieldOrder(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::AgentConfig;

    #[test]
    fn keys_stand_as_they_are_declared() {
        let order = FieldOrder::of(&AgentConfig::default());
        let game = order.below("game");
        assert_eq!(
            game.sort(["start", "zzz", "dir", "command", "aaa"].into_iter()),
            ["command", "dir", "start", "aaa", "zzz"]
        );
        let port = game.below("ports").below("query");
        assert_eq!(port.sort(["protocol", "range"].into_iter()), ["range", "protocol"]);
        let rung = game.below("stop").below("ladder").below("");
        assert_eq!(rung.sort(["wait", "kill", "signal", "stdin"].into_iter()), ["stdin", "signal", "kill", "wait"]);
    }
}
