"""Where bytes lie: folders and buckets, behind one protocol."""
