//! The names of a struct's fields, as its `Deserialize` knows them.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor, value::Error as Stopped},
    forward_to_deserialize_any,
};

/// Empty for anything but a struct.
pub(super) fn of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It fails as soon as the type has said what it is.
    let _ = T::deserialize(Recorder(&mut fields));
    fields
}

struct Recorder<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Stopped;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stopped> {
        *self.0 = fields;
        Err(Stopped::custom("recorded"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stopped> {
        Err(Stopped::custom("no struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_struct_names_its_fields_and_nothing_else_does() {
        assert_eq!(super::of::<super::super::templates::Region>(), ["region_id", "custom_only", "description"]);
        assert_eq!(super::of::<String>(), [""; 0]);
    }
}
