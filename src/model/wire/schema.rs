//! Schemas of what [`wire!`](super) declares. Compiled into tests only: the programs carry the
//! finished document.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value, json};

/// Named schemas: `components/schemas` of a document.
#[derive(Debug, Default)]
pub struct Schemas(Map<String, Value>);

/// One member of an object.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub required: bool,
    pub schema: Value,
    pub about: String,
    pub default: Option<Value>,
}

/// Semantic versions as their specification suggests.
pub(crate) const SEMANTIC_VERSION: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";

impl Schemas {
    /// A reference to a schema of this name, made if it isn't there yet. Two that differ must not share a name.
    pub fn named(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.0.contains_key(name) {
            // A placeholder ends the recursion of a type that contains itself.
            self.0.insert(name.to_owned(), Value::Null);
            let made = make(self);
            self.0.insert(name.to_owned(), made);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The words of an enumeration, as serde knows them.
    pub fn words<T: DeserializeOwned>(&mut self) -> Value {
        let mut found = Words { name: "", words: &[] };
        // It always fails: it only looks at what is asked of it.
        let _ = T::deserialize(&mut found);
        let schema = json!({ "type": "string", "enum": found.words });
        self.named(found.name, |_| schema)
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

/// The schema of an object.
pub(crate) fn object(about: &str, members: Vec<Member>) -> Value {
    let required: Vec<&str> = members.iter().filter(|member| member.required).map(|member| member.name).collect();
    let mut schema = json!({ "type": "object" });
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let properties = members.into_iter().map(|member| (member.name.to_owned(), member.described()));
    schema["properties"] = Value::Object(properties.collect());
    schema
}

impl Member {
    /// Whether the published contract doesn't have it.
    pub fn is_extension(&self) -> bool {
        self.about.starts_with("Extension")
    }

    /// Its schema, with all that is known of it besides.
    pub fn described(self) -> Value {
        let extension = self.is_extension();
        let mut schema = self.schema;
        if !self.about.is_empty() {
            schema["description"] = self.about.into();
        }
        if let Some(default) = self.default.filter(|default| !default.is_null()) {
            schema["default"] = default;
        }
        if extension {
            schema["x-extension"] = true.into();
        }
        schema
    }
}

/// Comment lines as one text, without links of the documentation.
pub(crate) fn text(lines: &[&str]) -> String {
    let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let links = regex::Regex::new(r"\[(`[^`]+`)\](\([^)]*\))?").unwrap();
    links.replace_all(text.trim(), "$1").into_owned()
}

/// Learns an enumeration's name and words when it is asked to be one.
struct Words {
    name: &'static str,
    words: &'static [&'static str],
}

impl<'de> Deserializer<'de> for &mut Words {
    type Error = de::value::Error;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("no enumeration"))
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        (self.name, self.words) = (name, words);
        Err(de::Error::custom("looked at"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
