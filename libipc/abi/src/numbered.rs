//! Enumerations that cross the boundary: number, name, meaning and text of each variant in one place.

/// Defines an enumeration whose variants have a number and a text for people, `Name = number, "text";` each, with
///
/// - `ALL`, its variants in the order in which they are written;
/// - `find`, the variant with a number;
/// - `text`, the text of a variant.
#[macro_export]
macro_rules! numbered {
    (
        $(#[$about:meta])*
        $visible:vis enum $name:ident: $number:ident {
            $( $(#[$meaning:meta])* $variant:ident = $value:literal, $text:literal; )*
        }
    ) => {
        $(#[$about])*
        #[repr($number)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visible enum $name { $( $(#[$meaning])* $variant = $value, )* }

        impl $name {
            /// Every one, in the order of its number.
            pub const ALL: [$name; [$($value),*].len()] = [$($name::$variant),*];

            /// The one with this number.
            #[inline]
            pub fn find(raw: u64) -> Option<$name> {
                Self::ALL.into_iter().find(|one| *one as u64 == raw)
            }

            /// For people, a part of a sentence.
            pub const fn text(self) -> &'static str {
                match self { $( $name::$variant => $text, )* }
            }
        }
    };
}
