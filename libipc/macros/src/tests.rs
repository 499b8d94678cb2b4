//! What definitions expand to, and which are refused.

use super::expand;
use proc_macro2::TokenStream;

fn expanded(text: &str) -> String {
    expand(text.parse::<TokenStream>().unwrap()).to_string()
}

fn with(operation: &str) -> String {
    expanded(&format!("pub protocol Thing = 7 version 2; error ThingError; {operation}"))
}

#[test]
fn an_operation_that_is_neither_idempotent_nor_recorded_is_refused() {
    let text = with("fn poke() = 1;");
    assert!(text.contains("compile_error"), "{text}");
    assert!(text.contains("idempotent"), "{text}");
}

#[test]
fn two_operations_with_one_number_are_refused() {
    assert!(with("idempotent fn a() = 1; idempotent fn b() = 1;").contains("compile_error"));
    assert!(!with("idempotent fn a() = 1; idempotent fn b() = 2;").contains("compile_error"));
}

#[test]
fn more_than_four_leases_or_capabilities_are_refused() {
    let leases = "a: &[u8], b: &[u8], c: &[u8], d: &mut [u8]";
    assert!(!with(&format!("idempotent fn f({leases}) = 1;")).contains("compile_error"));
    assert!(with(&format!("idempotent fn f({leases}, e: &[u8]) = 1;")).contains("compile_error"));
    assert!(with("idempotent fn f(a: Cap, b: Cap, c: Cap, d: Cap, e: Cap) = 1;").contains("compile_error"));
}

#[test]
fn borrowed_results_are_refused() {
    assert!(with("idempotent fn f() -> &str = 1;").contains("compile_error"));
    assert!(with("idempotent fn f() -> &[u8] = 1;").contains("compile_error"));
}

#[test]
fn numbers_outside_their_range_are_refused() {
    assert!(with("idempotent fn f() = 0;").contains("compile_error"));
    assert!(with("idempotent fn f() = 256;").contains("compile_error"));
    assert!(expanded("pub protocol T = 0 version 1; error E;").contains("compile_error"));
    assert!(expanded("pub protocol T = 65535 version 1; error E;").contains("compile_error"));
}

#[test]
fn the_version_is_part_of_the_operation_code() {
    let text = with("idempotent fn f() = 3;");
    assert!(text.contains(&format!("{}u16", 2 << 8 | 3)), "{text}");
}

#[test]
fn only_protocols_with_recorded_operations_ask_for_recall() {
    assert!(with("recorded fn f() = 1;").contains("fn recall"));
    assert!(!with("idempotent fn f() = 1;").contains("fn recall"));
}
