//! What the API says of itself, so that probes grow with the schema.

use serde_json::Value;

use crate::actor::Actor;
use crate::http::text;

pub struct Argument {
    pub name: String,
    /// The JSON schema.
    pub schema: Value,
}

pub struct Function {
    pub path: String,
    pub arguments: Vec<Argument>,
}

pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
}

pub struct Column {
    pub name: String,
    /// The type in PostgreSQL.
    pub format: String,
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// Every function this person is offered.
pub fn functions(actor: &Actor) -> Vec<Function> {
    let api = actor.get("/").expect(200).json();
    let functions = members(&api["paths"]).filter(|(path, _)| path.starts_with("/rpc/")).map(|(path, operations)| {
        let body = operations["post"]["parameters"].as_array().into_iter().flatten().find(|p| p["in"] == "body");
        let arguments = body.map_or(vec![], |body| {
            let properties = members(&body["schema"]["properties"]);
            properties.map(|(name, schema)| Argument { name: name.clone(), schema: schema.clone() }).collect()
        });
        Function { path: path.clone(), arguments }
    });
    functions.collect()
}

/// Every table this person is offered.
pub fn tables(actor: &Actor) -> Vec<Table> {
    let api = actor.get("/").expect(200).json();
    let column = |(name, schema): (&String, &Value)| Column { name: name.clone(), format: text(&schema["format"]) };
    let columns = |table: &Value| members(&table["properties"]).map(column).collect();
    let tables =
        members(&api["definitions"]).map(|(name, table)| Table { name: name.clone(), columns: columns(table) });
    tables.collect()
}
