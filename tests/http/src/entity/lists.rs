//! Many rows: filtered, sorted, paged, embedded, as CSV.

use serde_json::{Map, Value, json};

use super::catalog::{self, Column, ForeignKey};
use super::world::{World, among, ids};
use super::{Spec, csv, merged, same};
use crate::http::{Response, encode, text};

/// A value as it stands in a filter.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The ids of these rows, in ascending order.
fn sorted_ids<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut ids: Vec<_> = rows.into_iter().map(|row| text(&row["id"])).collect();
    ids.sort();
    ids
}

pub fn is_found_by_each_column(spec: &'static Spec) {
    let world = World::of(spec);
    let rows = [world.insert_full(), world.insert(Map::new()), world.insert(Map::new())];
    let full = spec.columns_of(spec.full);
    let find = |filter: &str| {
        let path = world.path(&format!("{}&{filter}&order=id", among(&rows)));
        world.owner.get(&path).expect(200).column("id")
    };
    for column in catalog::columns(spec.table) {
        let (name, value) = (&column.name, &rows[0][&column.name]);
        let nothing = sorted_ids(rows.iter().filter(|row| row[name].is_null()));
        assert_eq!(find(&format!("{name}=is.null")), nothing, "{name}");
        if value.is_null() {
            assert!(!full.contains(name), "the full row has no {name}");
            continue;
        }
        let expected = sorted_ids(rows.iter().filter(|row| row[name] == *value));
        let found = if column.is_scalar() {
            find(&format!("{name}=eq.{}", encode(&literal(value))))
        } else {
            find(&format!("{name}=eq.{}", encode(&array_or_json(&column, value))))
        };
        assert_eq!(found, expected, "{name} is {value}");
        if column.is_scalar() {
            let quoted = encode(&quoted(&literal(value)));
            assert_eq!(find(&format!("{name}=in.({quoted})")), expected, "{name} is {value}");
            let others = sorted_ids(rows.iter().filter(|row| !row[name].is_null() && row[name] != *value));
            assert_eq!(find(&format!("{name}=neq.{}", encode(&literal(value)))), others, "{name} is not {value}");
        }
    }
}

/// As an element of a list or an array.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}

fn array_or_json(column: &Column, value: &Value) -> String {
    if !column.is_array() {
        return value.to_string();
    }
    let elements = value.as_array().unwrap().iter().map(|element| quoted(&literal(element)));
    format!("{{{}}}", elements.collect::<Vec<_>>().join(","))
}

pub fn is_sorted_with_ties_by_id(spec: &'static Spec) {
    let world = World::of(spec);
    let sorted = |rows: &[Value], order: &str| {
        world.owner.get(&world.path(&format!("{}&order={order}", among(rows)))).expect(200).column("id")
    };
    for (column, values) in spec.sorted {
        let with = |value: &&str| world.object(&format!(r#"{{ "{column}": {value} }}"#), world.next());
        // The last one first, and each twice.
        let rows = world.insert_all([*values, *values].concat().iter().rev().map(with));
        let meant: Vec<Value> = values.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
        let place = |row: &Value| meant.iter().position(|value| same(&row[*column], value));
        let mut expected: Vec<_> = rows.iter().map(|row| (place(row), text(&row["id"]))).collect();
        assert!(expected.iter().all(|(place, _)| place.is_some()), "{column} is stored in another form: {rows:?}");
        expected.sort();
        let mut expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
        assert_eq!(sorted(&rows, &format!("{column}.asc,id.asc")), expected, "{column}");
        expected.reverse();
        assert_eq!(sorted(&rows, &format!("{column}.desc,id.desc")), expected, "{column}");
    }
    let rows = [world.insert(Map::new()), world.insert(Map::new()), world.insert(Map::new())];
    let mut expected = ids(&rows);
    assert_eq!(sorted(&rows, "created_at.asc,id.asc"), expected);
    expected.reverse();
    assert_eq!(sorted(&rows, "created_at.desc,id.desc"), expected);
}

pub fn is_paged_with_a_count(spec: &'static Spec) {
    let world = World::of(spec);
    let rows = world.insert_all((0..7).map(|_| Map::new()));
    let mut ids = ids(&rows);
    ids.sort();
    let path = world.path(&format!("{}&order=id", among(&rows)));
    let page = |range: &str| -> Response {
        let request = world.owner.request("GET", &path).header("Range-Unit", "items").header("Range", range);
        request.prefer("count=exact").send()
    };
    let mut seen = vec![];
    for (range, expected) in [("0-2", "0-2/7"), ("3-5", "3-5/7"), ("6-8", "6-6/7")] {
        let page = page(range).expect(206);
        assert_eq!(page.header("Content-Range"), Some(expected), "{page}");
        seen.extend(page.column("id"));
    }
    assert_eq!(seen, ids);
    let all = page("0-99").expect(200);
    assert_eq!((all.header("Content-Range"), all.column("id")), (Some("0-6/7"), ids.clone()));
    assert_eq!(page("9-12").expect(416).header("Content-Range"), Some("*/7"));
    assert_eq!(world.owner.get(&format!("{path}&limit=3&offset=2")).expect(200).column("id"), ids[2..5]);
    let counted = world.owner.request("HEAD", &path).prefer("count=exact").send().expect(200);
    assert_eq!(counted.header("Content-Range"), Some("0-6/7"));
    let after = format!("{path}&id=gt.{}&limit=2", ids[3]);
    assert_eq!(world.owner.get(&after).expect(200).column("id"), ids[4..6], "the page after a row");
}

pub fn is_embedded_both_ways(spec: &'static Spec) {
    let world = World::of(spec);
    let row = world.insert_full();
    let n = world.last();
    let _other = world.insert(Map::new());
    let written = spec.written();
    for Column { name, kind, refers_to, .. } in catalog::columns(spec.table) {
        let points = kind == "uuid" && written.contains(&name) && !spec.points_anywhere.contains(&name.as_str());
        assert!(!points || refers_to.is_some(), "{name} has no foreign key");
    }
    for key in catalog::foreign_keys(spec.table) {
        if key.between > 1 || key.table == spec.table {
            continue;
        }
        if row[&key.column].is_null() {
            embeds(&world, &world.insert(world.variant(&key.column, n)), &key);
        } else {
            embeds(&world, &row, &key);
        }
    }
    for (path, expected) in spec.embedded {
        let fill = |text: &str| world.fill(text, n).replace("{id}", &text_of(&row, "id"));
        let expected: Value = serde_json::from_str(&fill(expected)).unwrap();
        let answer = world.owner.get(&fill(path)).expect(200);
        assert!(same(&answer.json(), &expected), "{expected} instead of {answer}");
    }
}

fn text_of(row: &Value, column: &str) -> String {
    text(&row[column])
}

/// Without a hint: the row with what it refers to, and that with the row.
fn embeds(world: &World, row: &Value, ForeignKey { column, table, .. }: &ForeignKey) {
    let (of, id, target) = (world.spec.table, text_of(row, "id"), text_of(row, column));
    assert!(!target.is_empty(), "the full row has no {column}");
    let get = |path: &str| world.owner.get(path).expect(200).rows();
    let up = get(&format!("/{of}?id=eq.{id}&select=id,{table}(*)")).remove(0);
    assert_eq!(up[table]["id"], json!(target), "{column}");
    let inner = get(&format!("/{of}?select=id,{table}!inner(id)&{table}.id=eq.{target}&id=eq.{id}"));
    assert_eq!(inner, [json!({ "id": id, table: { "id": target } })], "{column}");
    let down = get(&format!("/{table}?id=eq.{target}&select=id,{of}(*)")).remove(0);
    let rows = match &down[of] {
        Value::Array(rows) => rows.clone(),
        row => vec![row.clone()],
    };
    let found: Vec<_> = rows.iter().filter(|other| other["id"] == json!(id)).collect();
    assert_eq!(found.len(), 1, "{column}: {down}");
    assert_eq!(found[0][column], json!(target), "{column}");
}

fn has(spec: &Spec, name: &str) -> bool {
    catalog::columns(spec.table).iter().any(|column| column.name == name)
}

pub fn is_found_by_its_tags(spec: &'static Spec) {
    if !has(spec, "tags") {
        return;
    }
    let world = World::of(spec);
    let tagged = |tags: Value| world.insert(Map::from_iter([("tags".to_owned(), tags)]));
    let rows = [tagged(json!(["Gold", "A b"])), tagged(json!(["Gold"])), world.insert(Map::new())];
    assert_eq!(rows.each_ref().map(|row| row["tags"].as_array().unwrap().len()), [2, 1, 0]);
    for (filter, expected) in [
        (r#"tags=cs.{"Gold"}"#, 0..2),
        (r#"tags=cs.{"Gold","A b"}"#, 0..1),
        (r#"tags=ov.{"A b","Silver"}"#, 0..1),
        (r#"tags=cs.{"Silver"}"#, 0..0),
        ("tags=eq.{}", 2..3),
    ] {
        let (column, value) = filter.split_once(".{").unwrap();
        let path = world.path(&format!("{}&order=id&{column}.{}", among(&rows), encode(&format!("{{{value}"))));
        assert_eq!(world.owner.get(&path).expect(200).column("id"), ids(&rows[expected]), "{filter}");
    }
}

pub fn is_found_by_its_custom_fields(spec: &'static Spec) {
    if !has(spec, "custom_fields") {
        return;
    }
    let world = World::of(spec);
    for (key, kind) in [("size", "text"), ("weight", "number")] {
        let field = json!({ "entity": spec.table, "key": key, "label": key, "type": kind });
        world.owner.insert("custom_fields", &field);
    }
    let with = |value: Value| Map::from_iter([("custom_fields".to_owned(), value)]);
    let rows = [
        world.insert(with(json!({ "size": "XL", "weight": 9.5 }))),
        world.insert(with(json!({ "size": "S", "weight": 10 }))),
        world.insert(Map::new()),
    ];
    for (filter, expected) in [
        ("custom_fields->>size=eq.XL", 0..1),
        (r#"custom_fields=cs.{"size":"S"}"#, 1..2),
        ("custom_fields->weight=gte.9.5", 0..2),
        ("custom_fields->>size=is.null", 2..3),
    ] {
        let (column, value) = filter.split_once('=').unwrap();
        let path = world.path(&format!("{}&order=id&{}={}", among(&rows), encode(column), encode(value)));
        assert_eq!(world.owner.get(&path).expect(200).column("id"), ids(&rows[expected]), "{filter}");
    }
    let before = world.fingerprint();
    for (bad, word) in
        [(json!({ "colour": "red" }), "colour"), (json!({ "weight": "much" }), "weight"), (json!([]), "custom_fields")]
    {
        let answer = world.post(&world.owner, &merged(world.least(world.next()), with(bad.clone()))).send().expect(400);
        assert!(answer.text().contains(word), "{bad}: {answer}");
        let answer = world.owner.patch(&world.path_of(&rows[0]), &json!(with(bad))).expect(400);
        assert!(answer.text().contains(word), "{answer}");
    }
    assert_eq!(world.fingerprint(), before);
}

// ---------------------------------------------------------------------------------------------- CSV

/// Three rows go in as CSV, and as CSV they come out again.
pub fn comes_and_goes_as_csv(spec: &'static Spec) {
    let world = World::of(spec);
    let written = [spec.columns_of(spec.least), spec.columns_of(spec.full)].concat();
    let mut columns = catalog::columns(spec.table);
    // Of the others those that a row cannot be without.
    let needed = spec.columns_of(spec.least);
    columns.retain(|column| written.contains(&column.name) && (column.is_scalar() || needed.contains(&column.name)));
    let names: Vec<_> = columns.iter().map(|column| column.name.clone()).collect();
    let numbers = [world.next(), world.next(), world.next()];
    let sent = numbers.map(|n| {
        let row = world.full(n);
        names.iter().map(|name| literal(&row[name])).collect::<Vec<_>>()
    });
    let body = csv::write([&names].into_iter().chain(&sent));
    let request = world.owner.request("POST", &world.path("order=id")).prefer("return=representation");
    let stored = request.body("text/csv", body).send().expect(201).rows();
    assert_eq!(stored.len(), numbers.len());
    for n in numbers {
        let mut expected = world.stored_of_full(n);
        expected.retain(|name, _| names.contains(name));
        let found = stored.iter().any(|row| expected.iter().all(|(name, value)| same(&row[name], value)));
        assert!(found, "{expected:?} is not stored: {stored:?}");
    }
    comes_out(&world, &stored, &columns);
}

/// The rows that the database made come out as CSV.
pub fn comes_as_csv(spec: &'static Spec) {
    let world = World::of(spec);
    let rows = world.insert_all((0..3).map(|_| Map::new()));
    comes_out(&world, &rows, &catalog::columns(spec.table));
}

fn comes_out(world: &World, rows: &[Value], columns: &[Column]) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| text(&row["id"]));
    let names: Vec<_> = columns.iter().map(|column| column.name.clone()).collect();
    let path = world.path(&format!("select={}&{}&order=id", names.join(","), among(&rows)));
    let answer = world.owner.request("GET", &path).header("Accept", "text/csv").send().expect(200);
    assert_eq!(answer.header("Content-Type"), Some("text/csv; charset=utf-8"));
    let lines = csv::parse(&answer.text());
    assert_eq!(lines[0], names, "{answer}");
    assert_eq!(lines.len(), 1 + rows.len(), "{answer}");
    for (line, row) in lines[1..].iter().zip(&rows) {
        for (cell, column) in line.iter().zip(columns) {
            let expected = &row[&column.name];
            assert!(shows(cell, expected, column), "{}: {cell:?} for {expected}: {answer}", column.name);
        }
    }
}

/// Whether a cell says what is stored: in PostgreSQL's own form.
fn shows(cell: &str, stored: &Value, column: &Column) -> bool {
    match stored {
        Value::Null => cell.is_empty(),
        Value::Bool(true) => cell == "t",
        Value::Bool(false) => cell == "f",
        Value::Number(number) => cell.parse::<f64>().ok() == number.as_f64(),
        // 2030-05-01 09:00:00+00 is 2030-05-01T09:00:00+00:00.
        Value::String(time) if column.kind.starts_with("timestamp") => {
            time.replace('T', " ").trim_end_matches(":00") == cell.trim_end_matches(":00")
        }
        // With spaces.
        json @ (Value::Object(_) | Value::Array(_)) if column.kind == "jsonb" => {
            serde_json::from_str::<Value>(cell).is_ok_and(|cell| cell == *json)
        }
        other => cell == literal(other),
    }
}
