//! CSV as RFC 4180 has it.

/// The cells of each line.
pub fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell) = (vec![], vec![], String::new());
    let (mut quoted, mut characters) = (false, text.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            _ => cell.push(character),
        }
    }
    if !cell.is_empty() || !line.is_empty() {
        line.push(cell);
        lines.push(line);
    }
    lines
}

pub fn write<'a>(lines: impl IntoIterator<Item = &'a Vec<String>>) -> String {
    let cell = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    lines.into_iter().map(|line| line.iter().map(cell).collect::<Vec<_>>().join(",") + "\n").collect()
}
