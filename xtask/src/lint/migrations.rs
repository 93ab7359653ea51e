//! Migrations only add, as replicas of the version before go on using what they know while a database is migrated.

use super::{Finding, files::File};

/// What a statement of a migration may do to what an earlier one made, in words for people.
const MAY: &str = "a migration may add tables, columns with a default or without NOT NULL, and indexes; older replicas \
     still run on what was there";

/// Checks the migrations of all crates.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().filter(|file| is_migration(file)).flat_map(check_file).collect()
}

fn is_migration(file: &File) -> bool {
    file.is("sql") && file.path.components().any(|part| part.as_os_str() == "migrations")
}

fn check_file(file: &File) -> Vec<Finding> {
    let statements = statements(&file.text);
    // A file may do as it likes with what it makes itself.
    let made: Vec<_> = statements.iter().filter_map(|statement| statement.makes()).collect();
    let broken = statements.iter().filter(|statement| !statement.only_adds(&made));
    let finding = |statement: &Statement| Finding {
        file: file.path.clone(),
        line: statement.line,
        what: format!("`{}`: {MAY}", statement.words.join(" ")),
    };
    broken.map(finding).collect()
}

/// A statement's words in upper case, without comments, and the line it begins in.
#[derive(Debug)]
struct Statement {
    line: usize,
    words: Vec<String>,
}

/// Statements as far as words tell; a trigger's body counts as statements of its own, which begin with `BEGIN`.
fn statements(text: &str) -> Vec<Statement> {
    let mut all: Vec<Statement> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default();
        for (part, piece) in code.split(';').enumerate() {
            // A semicolon before it ended the statement.
            open &= part == 0;
            let words = piece.split(|letter: char| letter.is_whitespace() || "(),".contains(letter));
            for word in words.filter(|word| !word.is_empty()) {
                if !open {
                    all.push(Statement { line: number + 1, words: Vec::new() });
                    open = true;
                }
                if let Some(last) = all.last_mut() {
                    last.words.push(word.to_ascii_uppercase());
                }
            }
        }
    }
    all
}

impl Statement {
    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// The table it makes.
    fn makes(&self) -> Option<&str> {
        match self.words()[..] {
            ["CREATE", "TABLE", "IF", "NOT", "EXISTS", table, ..]
            | ["CREATE", "TABLE", table, ..]
            | ["CREATE", "VIRTUAL", "TABLE", table, ..] => Some(table),
            _ => None,
        }
    }

    fn only_adds(&self, made: &[&str]) -> bool {
        let words = self.words();
        match words[..] {
            ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => made.contains(&table),
            ["CREATE", "TABLE" | "VIRTUAL" | "INDEX", ..] => true,
            // A trigger on what older replicas write to could refuse what they write.
            ["CREATE", "TRIGGER", ref trigger @ ..] => {
                let table = trigger.iter().position(|word| *word == "ON").and_then(|on| trigger.get(on + 1));
                table.is_some_and(|table| made.contains(table))
            }
            // What nobody names in a statement: indexes come and go.
            ["DROP", "INDEX", ..] => true,
            ["ALTER", "TABLE", table, ..] if made.contains(&table) => true,
            ["ALTER", "TABLE", _, "FORCE" | "NO", ..] => true,
            // Without a name several columns could hide behind one `ADD`.
            ["ALTER", "TABLE", _, "ADD", "COLUMN", ref column @ ..] => {
                let has = |word| column.contains(&word);
                let once = column.iter().filter(|word| **word == "ADD" || **word == "DROP").count() == 0;
                once && (!has("NOT") || has("DEFAULT"))
                    && !has("UNIQUE")
                    && !has("CHECK")
                    && !has("REFERENCES")
            }
            ["INSERT", "INTO", ..] | ["BEGIN", "INSERT" | "SELECT", ..] | ["END", ..] => true,
            ["UPDATE", table, ..] => made.contains(&table),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let file = File { path: "mcp-x/migrations/sqlite/0002_y.sql".into(), text: text.to_owned() };
        check(&[file]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn what_only_adds_is_allowed() {
        let text = "-- Why; and what for.\nCREATE TABLE a (id TEXT NOT NULL, n INTEGER);\n\
                    CREATE UNIQUE INDEX a_n ON a (n);\nALTER TABLE a RENAME COLUMN n TO m;\n\
                    ALTER TABLE b ADD COLUMN c TEXT;\nALTER TABLE b ADD COLUMN d INTEGER NOT NULL DEFAULT 0;\n\
                    CREATE INDEX b_c ON b (c);\nINSERT INTO a (id) SELECT id FROM b;\n\
                    CREATE TRIGGER t AFTER INSERT ON a\nBEGIN INSERT INTO c (id) VALUES (new.id); END;\n";
        assert_eq!(found(text), [0_usize; 0]);
    }

    #[test]
    fn what_older_replicas_would_miss_is_found() {
        for text in [
            "DROP TABLE b;",
            "ALTER TABLE b DROP COLUMN c;",
            "ALTER TABLE b RENAME TO d;",
            "ALTER TABLE b RENAME COLUMN c TO d;",
            "ALTER TABLE b ALTER COLUMN c TYPE BIGINT;",
            "ALTER TABLE b ALTER COLUMN c SET NOT NULL;",
            "ALTER TABLE b ADD COLUMN c TEXT NOT NULL;",
            "ALTER TABLE b ADD COLUMN c TEXT UNIQUE;",
            "ALTER TABLE b ADD COLUMN c TEXT, DROP COLUMN d;",
            "ALTER TABLE b ADD CONSTRAINT c CHECK (d > 0);",
            "CREATE UNIQUE INDEX b_c ON b (c);",
            "CREATE TRIGGER t BEFORE DELETE ON b BEGIN SELECT RAISE(ABORT, 'no'); END;",
            "UPDATE b SET c = 1;",
            "DELETE FROM b;",
            "TRUNCATE b;",
            "drop table b;",
        ] {
            assert_eq!(found(text), [1], "{text}");
        }
        assert_eq!(found("CREATE TABLE a (id TEXT); DROP TABLE b;\n\nDROP TABLE c;"), [1, 3]);
    }

    #[test]
    fn only_migrations_are_held_to_it() {
        let file = File { path: "tests/data/x.sql".into(), text: "DROP TABLE b;".to_owned() };
        assert!(check(&[file]).is_empty());
    }
}
