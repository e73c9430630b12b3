"""Laws: densities, distributions, edges and fits that the statistics rest on; they know no matrix and import nothing of ours."""
