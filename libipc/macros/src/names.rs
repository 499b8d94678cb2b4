//! The names of what is generated, and the places of words.

use crate::definition::{Definition, Op};
use crate::kind::Kind;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Ident;

/// `read_into` as `ReadInto`.
pub fn camel(name: &str) -> String {
    let part = |p: &str| p.chars().take(1).flat_map(char::to_uppercase).chain(p.chars().skip(1)).collect::<String>();
    name.split('_').map(part).collect()
}

/// The type that stands for an operation: `StreamReadOp`.
pub fn operation(definition: &Definition, op: &Op) -> Ident {
    format_ident!("{}{}Op", definition.name, camel(&op.name.to_string().replace("r#", "")))
}

/// For each of `kinds` the index of its first word, as a constant expression; and their sum.
pub fn places<'a>(kinds: impl Iterator<Item = &'a Kind>) -> (Vec<TokenStream>, TokenStream) {
    let mut sum = quote! { 0usize };
    let mut places = Vec::new();
    for kind in kinds {
        places.push(sum.clone());
        let words = kind.words();
        sum = quote! { #sum + #words };
    }
    (places, sum)
}

/// `()`, a single type, or a tuple.
pub fn result_type(op: &Op, one: impl Fn(&Kind) -> TokenStream) -> TokenStream {
    let types: Vec<_> = op.outputs.iter().map(one).collect();
    match (types.as_slice(), op.is_tuple) {
        ([], _) => quote! { () },
        ([single], false) => quote! { #single },
        _ => quote! { (#(#types,)*) },
    }
}
