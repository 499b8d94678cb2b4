//! The definition as it is written, checked.

use crate::kind::Kind;
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Result, Token, Type, Visibility, braced, parenthesized};

mod kw {
    syn::custom_keyword!(protocol);
    syn::custom_keyword!(version);
    syn::custom_keyword!(error);
    syn::custom_keyword!(idempotent);
    syn::custom_keyword!(recorded);
}

/// A whole protocol.
pub struct Definition {
    pub docs: Vec<Attribute>,
    pub vis: Visibility,
    pub name: Ident,
    pub number: u16,
    pub version: u8,
    pub error: Ident,
    error_docs: Vec<Attribute>,
    errors: Option<Vec<ErrorCase>>,
    pub operations: Vec<Op>,
}

struct ErrorCase {
    docs: Vec<Attribute>,
    name: Ident,
    number: LitInt,
    text: LitStr,
}

/// One operation.
pub struct Op {
    pub docs: Vec<Attribute>,
    pub recorded: bool,
    pub name: Ident,
    pub number: u8,
    pub args: Vec<Arg>,
    pub outputs: Vec<Kind>,
    pub is_tuple: bool,
}

/// One argument.
pub struct Arg {
    pub name: Ident,
    pub kind: Kind,
}

impl Parse for Definition {
    fn parse(input: ParseStream) -> Result<Self> {
        let docs = Attribute::parse_outer(input)?;
        let vis = input.parse()?;
        input.parse::<kw::protocol>()?;
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let number_literal: LitInt = input.parse()?;
        let number: u16 = number_literal.base10_parse()?;
        if number == 0 || number == u16::MAX {
            return Err(Error::new(number_literal.span(), "a protocol's number is 1 to 65534"));
        }
        input.parse::<kw::version>()?;
        let version = input.parse::<LitInt>()?.base10_parse()?;
        input.parse::<Token![;]>()?;
        let error_docs = Attribute::parse_outer(input)?;
        input.parse::<kw::error>()?;
        let error = input.parse()?;
        let errors = if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            None
        } else {
            let body;
            braced!(body in input);
            Some(Punctuated::<ErrorCase, Token![,]>::parse_terminated(&body)?.into_iter().collect())
        };
        let mut operations: Vec<Op> = Vec::new();
        while !input.is_empty() {
            let op: Op = input.parse()?;
            if operations.iter().any(|o| o.number == op.number || o.name == op.name) {
                return Err(Error::new(op.name.span(), "another operation has this number or name"));
            }
            operations.push(op);
        }
        Ok(Definition { docs, vis, name, number, version, error, error_docs, errors, operations })
    }
}

impl Parse for ErrorCase {
    fn parse(input: ParseStream) -> Result<Self> {
        let docs = Attribute::parse_outer(input)?;
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let number = input.parse()?;
        input.parse::<Token![=>]>()?;
        Ok(ErrorCase { docs, name, number, text: input.parse()? })
    }
}

impl Parse for Op {
    fn parse(input: ParseStream) -> Result<Self> {
        let docs = Attribute::parse_outer(input)?;
        let look = input.lookahead1();
        let recorded = if look.peek(kw::idempotent) {
            input.parse::<kw::idempotent>()?;
            false
        } else if look.peek(kw::recorded) {
            input.parse::<kw::recorded>()?;
            true
        } else {
            return Err(Error::new(
                input.span(),
                "say whether the operation is `idempotent` (doing it twice is doing it once) or `recorded` (a \
                 redelivered call is answered from the server's record)",
            ));
        };
        input.parse::<Token![fn]>()?;
        let name: Ident = input.parse()?;
        let list;
        parenthesized!(list in input);
        let args: Vec<Arg> = Punctuated::<Arg, Token![,]>::parse_terminated(&list)?.into_iter().collect();
        let (outputs, is_tuple) = parse_outputs(input)?;
        input.parse::<Token![=]>()?;
        let literal: LitInt = input.parse()?;
        let number: u8 = literal.base10_parse()?;
        if number == 0 {
            return Err(Error::new(literal.span(), "an operation's number is 1 to 255"));
        }
        input.parse::<Token![;]>()?;
        let op = Op { docs, recorded, name, number, args, outputs, is_tuple };
        op.check()?;
        Ok(op)
    }
}

fn parse_outputs(input: ParseStream) -> Result<(Vec<Kind>, bool)> {
    if !input.peek(Token![->]) {
        return Ok((Vec::new(), false));
    }
    input.parse::<Token![->]>()?;
    match input.parse::<Type>()? {
        Type::Tuple(tuple) => {
            let many = !tuple.elems.is_empty();
            Ok((tuple.elems.into_iter().map(Kind::of).collect::<Result<_>>()?, many))
        }
        other => Ok((vec![Kind::of(other)?], false)),
    }
}

impl Parse for Arg {
    fn parse(input: ParseStream) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        Ok(Arg { name, kind: Kind::of(input.parse()?)? })
    }
}

impl Op {
    fn check(&self) -> Result<()> {
        let fail = |text: &str| Err(Error::new(self.name.span(), text));
        let leases = self.args.iter().filter(|a| a.kind.is_lease()).count();
        let caps = self.args.iter().filter(|a| a.kind.is_cap()).count();
        let out_caps = self.outputs.iter().filter(|k| k.is_cap()).count();
        if leases > 4 {
            return fail("a message carries at most 4 leases");
        }
        if caps > 4 || out_caps > 4 {
            return fail("a message carries at most 4 capabilities");
        }
        if self.outputs.iter().any(|k| k.is_lease() || matches!(k, Kind::Text)) {
            return fail("an answer carries no borrowed data: lend a buffer, or answer `String` or `Vec`");
        }
        Ok(())
    }
    /// Whether the request has payload.
    pub fn has_payload(&self) -> bool {
        self.args.iter().any(|a| a.kind.is_payload())
    }
    /// Leases of the request.
    pub fn leases(&self) -> usize {
        self.args.iter().filter(|a| a.kind.is_lease()).count()
    }
    /// Capabilities of the request.
    pub fn caps(&self) -> usize {
        self.args.iter().filter(|a| a.kind.is_cap()).count()
    }
}

impl Definition {
    /// The version and number of an operation, as the tag carries them.
    pub fn code(&self, op: &Op) -> u16 {
        u16::from(self.version) << 8 | u16::from(op.number)
    }
    /// The error enumeration, where the definition has one.
    pub fn error_type(&self) -> TokenStream {
        let Some(cases) = &self.errors else { return TokenStream::new() };
        let (vis, name, docs) = (&self.vis, &self.error, &self.error_docs);
        let cases = cases.iter().map(|c| {
            let (docs, name, number, text) = (&c.docs, &c.name, &c.number, &c.text);
            quote! { #(#docs)* #name = #number => #text }
        });
        quote! { ::libipc::errors! { #(#docs)* #vis enum #name { #(#cases),* } } }
    }
}
