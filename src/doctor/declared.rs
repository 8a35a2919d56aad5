//! What the table files declare: the doctor looks whether it is there. Pure.

use serde_json::{Map, Value, json};

/// Tables by name, triggers as `{relation, name, statement}`, and by table how it is enrolled.
#[derive(Debug, Default, PartialEq)]
pub struct Declared {
    pub tables: Vec<String>,
    pub triggers: Vec<Value>,
    pub enrollments: Map<String, Value>,
}

impl Declared {
    pub fn of<'a>(files: impl Iterator<Item = &'a str>) -> Self {
        let mut declared = Self::default();
        for statement in files.flat_map(statements) {
            declared.note(statement);
        }
        declared
    }

    fn note(&mut self, statement: &str) {
        let words: Vec<_> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["create", "table", name, ..] => self.tables.push((*name).to_owned()),
            ["create", "trigger", name, rest @ ..] | ["create", "constraint", "trigger", name, rest @ ..] => {
                if let Some(at) = rest.iter().position(|word| *word == "on") {
                    let relation = rest.get(at + 1);
                    self.triggers.push(json!({ "relation": relation, "name": name, "statement": statement }));
                }
            }
            ["select", call, ..] if call.starts_with("crm.enroll(") => {
                if let Some(table) = statement.split('\'').nth(1) {
                    self.enrollments.insert(table.to_owned(), statement.into());
                }
            }
            _ => {}
        }
    }
}

/// The statements of a script, without comments before them. A semicolon inside of quotes ends none.
fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut start, mut at) = (vec![], 0, 0);
    while let Some(rest) = script.get(at..).filter(|rest| !rest.is_empty()) {
        let is_between = script.get(start..at).is_some_and(|before| before.trim().is_empty());
        let skip = match rest {
            _ if rest.starts_with("--") => {
                let end = rest.find('\n').unwrap_or(rest.len());
                if is_between {
                    start = at + end;
                }
                end
            }
            _ if rest.starts_with("$$") => 2 + rest.get(2..).and_then(|rest| rest.find("$$")).map_or(0, |end| end + 2),
            _ if rest.starts_with('\'') => 1 + rest.get(1..).and_then(|rest| rest.find('\'')).map_or(0, |end| end + 1),
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        if rest.starts_with(';') {
            found.extend(script.get(start..at).map(str::trim));
            start = at + 1;
        }
        at += skip;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_quotes_or_comments_ends_no_statement() {
        let script = "-- one; two\nselect 'a;''b'; do $$ x; y; $$;\n-- end; \nselect -- not;\n 1;";
        assert_eq!(statements(script), ["select 'a;''b'", "do $$ x; y; $$", "select -- not;\n 1"]);
    }

    #[test]
    fn tables_triggers_and_enrollments_are_told_by_name() {
        let script = "create table crm.things (a text default ';');
            create trigger _1_x after update\n on crm.things for each row execute function crm_private.x();
            select crm.enroll('crm.things', array['a line']);
            create constraint trigger _2_y after insert on crm.things deferrable execute function y();";
        let declared = Declared::of([script].into_iter());
        assert_eq!(declared.tables, ["crm.things"]);
        let triggers: Vec<_> = declared.triggers.iter().map(|one| (&one["relation"], &one["name"])).collect();
        let relation = json!("crm.things");
        assert_eq!(triggers, [(&relation, &json!("_1_x")), (&relation, &json!("_2_y"))]);
        assert_eq!(declared.enrollments["crm.things"], "select crm.enroll('crm.things', array['a line'])");
    }
}
