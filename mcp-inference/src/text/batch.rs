//! Which texts are computed together: those of nearly the same length, so that little is padding.

/// Texts in one computation; more gain nothing on a core.
const MAX_TEXTS: usize = 8;

/// Groups texts by their lengths in tokens; each group holds indices into `lengths`. Within a group the
/// shortest has at least 7/8 of the tokens of the longest.
pub(super) fn group(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in order {
        match groups.last_mut() {
            Some(group) if group.len() < MAX_TEXTS && lengths[index] * 8 >= lengths[group[0]] * 7 => {
                group.push(index);
            }
            _ => groups.push(vec![index]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_go_together_and_far_ones_apart() {
        assert_eq!(group(&[3, 100, 3, 95]), [vec![1, 3], vec![0, 2]]);
        assert_eq!(group(&[]), Vec::<Vec<usize>>::new());
        let sizes: Vec<_> = group(&[5; 20]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 8, 4]);
    }
}
