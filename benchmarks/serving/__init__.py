"""What the bench of serving needs: floors and peers as servers of their own, and wrk against each."""
